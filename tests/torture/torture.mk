# SPDX-License-Identifier: MIT
# The campaigns of `make torture`, and their short forms in `make check`; `make model`.  Each ends
# with the line "name: cases N, findings N" and leaves a nonzero status if it found anything.

TORTURE = kill_step sys_fail disk_full hostile signal_step stopped interleave
TORTURE_SECONDS ?= 3600
TORTURE_SHARED = torture inspect step kill_ops look points interleave_pairs \
	interleave_judge

build/plain/libtorture.a: $(TORTURE_SHARED:%=build/plain/tests/torture/%.o)
	@rm -f $@
	@$(AR) rcs $@ $^
# Symbols are looked up at the start: that takes thousands of instructions, which are stepped else.
build/plain/torture/%: build/plain/tests/torture/%.o build/plain/libtorture.a \
		build/plain/libsupport.a build/plain/libqalloc.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -Wl,-z,now -pthread -o $@ $^

TORTURE_RESULTS = $(TORTURE:%=build/check/torture/%.log)
RESULTS += $(TORTURE_RESULTS)
results: $(TORTURE_RESULTS)
build/check/torture/%.log: build/plain/torture/%
	$(call run,$< --short)

# One after the other, because they measure how long calls take.
torture: $(TORTURE:%=build/plain/torture/%) ## the whole of every fault campaign; about an hour
	@mkdir -p build/torture; failed=0; \
	for name in $(TORTURE); do \
		echo "== $$name"; \
		timeout -k 5 $(TORTURE_SECONDS) build/plain/torture/$$name --long \
			>build/torture/$$name.log 2>&1 || failed=1; \
		cat build/torture/$$name.log; \
	done; \
	echo "== summary"; \
	for name in $(TORTURE); do \
		grep -E "^$$name: (cases|skipped)" build/torture/$$name.log || \
			{ echo "$$name: did not end"; failed=1; }; \
	done; exit $$failed

model: ## the SPIN model of lock, bits and take-over (needs the package spin)
	@proofs/model/run

.PHONY: torture model
