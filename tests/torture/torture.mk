# SPDX-License-Identifier: MIT
# The campaigns of `make torture`, and their short forms in `make check`; `make model`.  Each ends
# with the line "name: cases N, findings N" and leaves a nonzero status if it found anything.

TORTURE = kill_step sys_fail disk_full hostile signal_step stopped interleave
TORTURE_SECONDS ?= 3600
TORTURE_SHARED = torture inspect step kill_ops look state points interleave_pairs \
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

# Storms: users' builds for an hour, sanitizers for a part of it.
STORM_LONG_SECONDS ?= 3600
STORM_OTHER_SECONDS ?= 600
storm-dynamic = build/plain/storm --processes 3 --threads 4 --kills --seconds $(STORM_LONG_SECONDS)
storm-static = build/plain/storm --processes 4 --threads 2 --kills --static \
	--seconds $(STORM_OTHER_SECONDS)
storm-asan = build/asan/storm --processes 2 --threads 4 --kills --seconds $(STORM_OTHER_SECONDS)
storm-tsan = build/tsan/storm --processes 1 --threads 8 --seconds $(STORM_OTHER_SECONDS)
storm-publish = build/plain/storm_publish --processes 3 --threads 3 --stop \
	--seconds $(STORM_OTHER_SECONDS)
STORMS = storm-dynamic storm-static storm-asan storm-tsan storm-publish

# One after the other, because they measure how long calls take.
torture: $(TORTURE:%=build/plain/torture/%) $(foreach s,$(STORMS),$(firstword $($(s)))) ## every fault campaign as a whole; hours
	@rm -rf build/torture; mkdir -p build/torture; failed=0; \
	campaign() { \
		echo "== $$1"; name=$$1; shift; \
		timeout -k 5 $$(($(TORTURE_SECONDS) + $(STORM_LONG_SECONDS))) "$$@" \
			>build/torture/$$name.log 2>&1 </dev/null || failed=1; \
		cat build/torture/$$name.log; \
	}; \
	for name in $(TORTURE); do campaign $$name build/plain/torture/$$name --long; done; \
	$(foreach s,$(STORMS),campaign $(s) $($(s));) \
	echo "== summary"; \
	for name in $(TORTURE) $(STORMS); do \
		sed -n "s/^[a-z_]*: \(cases [0-9]*, findings [0-9]*\|skipped.*\)$$/$$name: \1/p" \
			build/torture/$$name.log | grep . || \
			{ echo "$$name: did not end"; failed=1; }; \
	done; exit $$failed

model: ## the SPIN model of lock, bits and take-over (needs the package spin)
	@proofs/model/run

.PHONY: torture model
