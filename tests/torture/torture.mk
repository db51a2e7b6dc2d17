# SPDX-License-Identifier: MIT
# The campaigns of `make torture`, and their short forms in `make check`; `make model`.  Each ends
# with the line "name: cases N, findings N" and leaves a nonzero status if it found anything.

TORTURE = kill_step sys_fail disk_full hostile signal_step stopped interleave
TORTURE_SECONDS ?= 3600
TORTURE_SHARED = torture inspect step kill_ops kill_prepare look state points interleave_pairs \
	interleave_victims interleave_judge full_calls scribble fail_ops

build/plain/libtorture.a: $(TORTURE_SHARED:%=build/plain/tests/torture/%.o)
	@rm -f $@
	@$(AR) rcs $@ $^
# Symbols are looked up at the start: that takes thousands of instructions, which are stepped else.
build/plain/torture/%: build/plain/tests/torture/%.o build/plain/libtorture.a \
		build/plain/libsupport.a build/plain/libqalloc.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -Wl,-z,now -pthread -o $@ $^

# A sanitizer sees what the library does to its private memory.
build/asan/torture/hostile: $(patsubst %,build/asan/tests/torture/%.o,hostile scribble torture) \
		build/asan/libsupport.a build/asan/libqalloc.a
	@mkdir -p $(@D)
	$(Q)$(GCC) -fsanitize=address,undefined -pthread -o $@ $^

TORTURE_RESULTS = $(TORTURE:%=build/check/torture/%.log)
RESULTS += $(TORTURE_RESULTS)
results: $(TORTURE_RESULTS)
build/check/torture/%.log: build/plain/torture/%
	$(call run,$< --short $(SLEEPING))
# It mostly waits for locks.
build/check/torture/stopped.log: SLEEPING = -j 6

# The whole campaigns, the longest first.
FULL = disk_full-tmpfs disk_full-ext4
CAMPAIGNS = storm-dynamic $(filter-out disk_full,$(TORTURE)) $(FULL) hostile-asan $(filter-out storm-dynamic,$(STORMS))
COUNTING = kill_step sys_fail signal_step interleave
$(foreach c,$(TORTURE),$(eval campaign-$(c) = build/plain/torture/$(c) --long))
$(foreach c,$(COUNTING),$(eval campaign-$(c) += -j $(JOBS)))
campaign-stopped += -j 6
$(foreach c,$(FULL),$(eval campaign-$(c) = build/plain/torture/disk_full --long $(c:disk_full-%=%)))
campaign-hostile-asan = build/asan/torture/hostile --long

# Storms: users' builds for an hour, sanitizers for a part of it.
STORM_LONG_SECONDS ?= 3600
STORM_OTHER_SECONDS ?= 600
STORMS = storm-dynamic storm-static storm-zero storm-asan storm-tsan storm-publish \
	storm-publish-asan storm-publish-tsan
campaign-storm-dynamic = build/plain/storm --processes 3 --threads 4 --kills \
	--seconds $(STORM_LONG_SECONDS) $(STORM_DIR)
campaign-storm-static = build/plain/storm --processes 4 --threads 2 --kills --static \
	--seconds $(STORM_OTHER_SECONDS) $(STORM_DIR)
campaign-storm-zero = build/plain/storm --processes 3 --threads 3 --kills --zero \
	--seconds $(STORM_OTHER_SECONDS) $(STORM_DIR)
campaign-storm-asan = build/asan/storm --processes 2 --threads 4 --kills \
	--seconds $(STORM_OTHER_SECONDS) $(STORM_DIR)
campaign-storm-tsan = build/tsan/storm --processes 1 --threads 8 --seconds $(STORM_OTHER_SECONDS) $(STORM_DIR)
campaign-storm-publish = build/plain/storm_publish --processes 3 --threads 3 --stop --zero \
	--seconds $(STORM_OTHER_SECONDS) $(STORM_DIR)
campaign-storm-publish-asan = build/asan/storm_publish --processes 2 --threads 3 --stop \
	--seconds $(STORM_OTHER_SECONDS) $(STORM_DIR)
campaign-storm-publish-tsan = build/tsan/storm_publish --processes 1 --threads 8 --no-kills \
	--seconds $(STORM_OTHER_SECONDS) $(STORM_DIR)

# Side by side, so that storms, which last as long as they are told, blow meanwhile: they give way, and
# the time that a thread has waited for a processor does not count as a call's.  Lines as they
# are printed are the progress.
TORTURE_JOBS ?= 2
define campaign_rule
torture-$(1): $$(firstword $$(campaign-$(1)))
	@log=build/torture/$(1); echo "$(1) | begins $$$$(date +%T)"; start=$$$$(date +%s); \
	{ timeout -k 5 $$$$(($(TORTURE_SECONDS) + $(STORM_LONG_SECONDS))) \
		$(if $(filter storm-%,$(1)),nice -n 10) $$(campaign-$(1)) 2>&1 </dev/null; \
		echo $$$$? >$$$$log.exit; } | tee $$$$log.log | sed -u 's/^/$(1) | /'; \
	echo $$$$(($$$$(date +%s) - start)) >$$$$log.seconds
endef
$(foreach c,$(CAMPAIGNS),$(eval $(call campaign_rule,$(c))))

torture: $(foreach c,$(CAMPAIGNS),$(firstword $(campaign-$(c)))) ## every fault campaign as a whole; hours
	@rm -rf build/torture; mkdir -p build/torture
	@$(MAKE) --no-print-directory -j $(TORTURE_JOBS) $(CAMPAIGNS:%=torture-%)
	@echo "== summary"; awk -f tests/torture/summary.awk $(CAMPAIGNS)

model: ## the SPIN model of lock, bits and take-over (needs the package spin)
	@proofs/model/run

.PHONY: torture model $(CAMPAIGNS:%=torture-%)
