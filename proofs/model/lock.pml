/* SPDX-License-Identifier: MIT */
/*
 * The lock of a stream, the two bits of its blocks, and take-over from the dead.
 *
 * What is modelled
 *  - Processes of one thread work on one stream whose span has BLOCKS blocks: malloc, and free
 *    of a block that they own, as the holder or from afar.  Each load, store and
 *    compare-and-swap of src/lock.h, src/lock.c, src/span.c and src/attach.c is one step.
 *  - A process may be killed before any step: the kernel unlocks its slot's byte, the file
 *    stays as it is.  Another life may take the slot: it locks the byte, raises the epoch,
 *    and only then has an identity.
 *  - A taker looks at the owner word, at the epoch and at the byte, and exchanges the owner word,
 *    in four steps.
 *
 * What is asserted
 *  - One holder: whoever has entered is alone among the living.
 *  - A block that somebody owns is handed out to nobody else, and is live.
 *  - At the end what is live is owned, but for one block per killed process.
 *
 * Memory order.  The model is sequentially consistent; the library needs no more here.  The
 * owner word is taken by a compare-and-swap with acquire and left by a store with release, so
 * what a holder stored is seen by the next.  After a death the taker has asked the kernel, which
 * unlocked the byte when the dead process had ended.  `rem` is only ever exchanged.  A free
 * from afar may see an `own` word of the past, but not the bit of its block: that one changed
 * last before the block was handed out, and comes with the pointer to the block.
 *
 * The mutants show that the assertions can fail; proofs/model/run expects each to.
 *  1 an epoch is raised before the byte is locked
 *  2 a taker stores the owner word instead of exchanging it
 *  3 malloc merges `rem` into `own`
 *  4 a free from afar stores `rem` instead of exchanging it
 *  5 an identity has the epoch from before it was raised
 *  6 malloc writes the bit in two steps, after it has left the stream
 */

#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef LIVES
#define LIVES 3 /* processes in all; a slot is used again when LIVES > SLOTS */
#endif
#ifndef BLOCKS
#define BLOCKS 2
#endif
#ifndef CALLS
#define CALLS 2 /* of each process */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

#define NONE 15
#define WORD(slot, e) ((e) * 4 + (slot) + 1)
#define SLOT_OF(w) ((w) % 4 - 1)
#define EPOCH_OF(w) ((w) / 4)
#define BIT(b) (1 << (b))
#define LIVE(b) (((own ^ rem) & BIT(b)) != 0)

/* The file. */
byte owner;
byte epoch[SLOTS];
byte own;
byte rem;

/* The kernel. */
bool locked[SLOTS];
bool kill[LIVES];

/* Ghosts: the living inside the stream, whose a block is, and what the killed may have leaked. */
byte holders;
byte user[BLOCKS] = NONE;
byte leaks;
byte kills;
byte ended;

proctype process(byte life; byte me)
{
	byte word, found, b, o, r, e, calls;
	byte mine = NONE;   /* the block it has */
	byte flight = NONE; /* the block of the call it is in */
	bool inside, dead, attached;

	{
#if MUTANT == 1
		d_step { e = epoch[me] + 1; epoch[me] = e };
		d_step { !locked[me] -> locked[me] = true; attached = true };
#else
		d_step { !locked[me] -> locked[me] = true; attached = true };
		e = epoch[me] + 1;
		epoch[me] = e;
#endif
#if MUTANT == 5
		e = e - 1;
#endif
		word = WORD(me, e);
again:
		if
		:: calls == CALLS -> goto close
		:: calls < CALLS && mine == NONE -> calls++
		:: calls < CALLS && mine != NONE -> calls++; goto give
		fi;
enter:
		if
		:: d_step { owner == 0 -> owner = word; holders++; inside = true }
		:: owner != 0 ->
			found = owner;
			if
			:: found == 0 -> goto enter
			:: else
			fi;
			dead = (epoch[SLOT_OF(found)] != EPOCH_OF(found));
			if
			:: dead
			:: !dead && !locked[SLOT_OF(found)] -> dead = true
			:: !dead && locked[SLOT_OF(found)] -> goto again /* EAGAIN */
			fi;
#if MUTANT == 2
			d_step { owner = word; holders++; inside = true }
#else
			d_step {
				if
				:: owner == found -> owner = word; holders++; inside = true
				:: else
				fi
			};
			if
			:: inside
			:: !inside -> goto enter
			fi
#endif
		fi;
		assert(holders == 1);
		/* span_take() */
		o = own;
		r = rem;
		b = 0;
		do
		:: b < BLOCKS && ((o ^ r) & BIT(b)) != 0 -> b++
		:: else -> break
		od;
		if
		:: b == BLOCKS
		:: b < BLOCKS ->
#if MUTANT == 6
			d_step { owner = 0; holders--; inside = false };
#endif
#if MUTANT == 3
			d_step { own = (o ^ r) | BIT(b); flight = b };
			rem = 0;
#else
			d_step { own = o ^ BIT(b); flight = b };
#endif
			d_step { assert(user[b] == NONE); user[b] = life; mine = b; flight = NONE }
		fi;
leave:
		skip;
		d_step {
			if
			:: inside -> owner = 0; holders--; inside = false
			:: else
			fi
		};
		goto again;
give:
		skip;
		/* Whoever calls free gives the block up. */
		d_step {
			assert(LIVE(mine));
			flight = mine;
			user[mine] = NONE;
			mine = NONE
		};
		if
		:: d_step { owner == 0 -> owner = word; holders++; inside = true };
			assert(holders == 1);
			o = own;
			r = rem;
			assert(((o ^ r) & BIT(flight)) != 0);
			d_step { own = o ^ BIT(flight); flight = NONE };
			goto leave
		:: owner != 0
		:: owner == 0 /* its home is another stream */
		fi;
afar:
		o = own;
		r = rem;
		assert(((o ^ r) & BIT(flight)) != 0);
#if MUTANT == 4
		d_step { rem = r ^ BIT(flight); flight = NONE };
#else
		d_step {
			if
			:: rem == r -> rem = r ^ BIT(flight); flight = NONE
			:: else
			fi
		};
#endif
		if
		:: flight == NONE -> goto again
		:: flight != NONE -> goto afar
		fi;
close:
		skip;
		d_step { locked[me] = false; ended++ }
	} unless {
		kill[life];
		/* The kernel tears it down. */
		d_step {
			if
			:: inside -> holders--
			:: else
			fi;
			if
			:: flight != NONE -> leaks++
			:: else
			fi;
			if
			:: attached -> locked[me] = false
			:: else
			fi;
			ended++
		}
	}
}

proctype killer()
{
	byte victim;

	do
	:: kills < KILLS ->
		select(victim : 0 .. LIVES - 1);
		skip;
		d_step { kill[victim] = true; kills++ }
	:: break
	od
}

init
{
	byte i, missing;

	atomic {
		i = 0;
		do
		:: i < LIVES -> run process(i, i % SLOTS); i++
		:: else -> break
		od;
		run killer()
	};
	ended == LIVES;
	d_step {
		i = 0;
		do
		:: i < BLOCKS ->
			if
			:: user[i] != NONE -> assert(LIVE(i))
			:: user[i] == NONE && LIVE(i) -> missing++
			:: else
			fi;
			i++
		:: else -> break
		od;
		assert(missing <= leaks)
	}
}
