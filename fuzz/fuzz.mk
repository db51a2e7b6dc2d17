# SPDX-License-Identifier: MIT
# What fuzzes.  docs/fuzzing.md says how to read the results.  FUZZ_SECONDS: for each harness.

FUZZ_SECONDS ?= 60
FUZZ_JOBS ?= 2
HARNESSES ?= header loadmap ops hostile check
AFL_CLANG ?= afl-clang-fast

FUZZ_COMMON = answers image fake faults common arguments rough again adversary model \
	model_publish model_roots model_world model_dead
FUZZ_WRAP = -Wl,@fuzz/wrapped.txt
FUZZ_HOOK = -include fuzz/hook.h
FUZZ_UBSAN = undefined$(comma)bounds$(comma)implicit-conversion$(comma)unsigned-integer-overflow
FUZZ_CHECKS = -fsanitize=address$(comma)$(FUZZ_UBSAN) -fsanitize-ignorelist=fuzz/wraps.txt \
	-fno-sanitize-recover=all
FUZZ_CLANG = $(CLANG) -O2 -g -gline-tables-only -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link $(FUZZ_CHECKS)
FUZZ_AFL = $(AFL_CLANG) $(FUZZ_CHECKS)
FUZZ_PROFILE = -fprofile-instr-generate -fcoverage-mapping

$(eval $(call flavour,fuzz,$$(FUZZ_CLANG) $$(FUZZ_HOOK)))
$(eval $(call flavour,replay,$$(CC) $$(SANITIZED) -fsanitize=address$$(comma)undefined $$(FUZZ_HOOK)))
$(eval $(call flavour,msan,$$(CLANG) -O1 -g -fno-omit-frame-pointer -fsanitize=memory $$(FUZZ_HOOK)))
$(eval $(call flavour,fuzzcov,$$(CLANG) -O1 -g $$(FUZZ_PROFILE) $$(FUZZ_HOOK)))
$(eval $(call flavour,afl,env AFL_QUIET=1 $$(FUZZ_AFL) -O2 -g $$(FUZZ_HOOK)))
$(eval $(call flavour,aflcmp,env AFL_QUIET=1 AFL_LLVM_CMPLOG=1 $$(FUZZ_AFL) -O2 -g $$(FUZZ_HOOK)))
$(eval $(call flavour,aflmut,$$(CLANG) -O2 -fPIC -DFUZZ_AFL))

# $(1): a flavour; $(2): the objects with the loop around a harness; $(3): how to link.
define harnesses
build/$(1)/libfuzz.a: $$(FUZZ_COMMON:%=build/$(1)/fuzz/%.o)
	@rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
build/$(1)/fuzz_%: build/$(1)/fuzz/fuzz_%.o $(2) build/$(1)/libfuzz.a build/$(1)/libqalloc.a
	$$(Q)$(3) -pthread $$(FUZZ_WRAP) -o $$@ $$^
endef
ENGINE = build/fuzz/fuzz/engine.o build/fuzz/fuzz/mutator.o
$(eval $(call harnesses,fuzz,$$(ENGINE),$$(FUZZ_CLANG) -fsanitize=fuzzer))
$(eval $(call harnesses,replay,build/replay/fuzz/replay.o,$$(CC) -fsanitize=address$$(comma)undefined))
$(eval $(call harnesses,msan,build/msan/fuzz/replay.o,$$(CLANG) -fsanitize=memory))
$(eval $(call harnesses,fuzzcov,build/fuzzcov/fuzz/replay.o,$$(CLANG) $$(FUZZ_PROFILE)))
$(eval $(call harnesses,afl,,env AFL_QUIET=1 $$(FUZZ_AFL) -fsanitize=fuzzer))
$(eval $(call harnesses,aflcmp,,env AFL_QUIET=1 AFL_LLVM_CMPLOG=1 $$(FUZZ_AFL) -fsanitize=fuzzer))

# The mutator knows the fields, so comparisons need no watching (and cost more than all the rest); the
# build for CMPLOG watches them.  What only makes inputs and the world, and the second reading of the
# header's rules, has no edge worth counting; the checksum has thousands.
build/fuzz/src/%.o build/fuzz/fuzz/%.o: FUZZ_HOOK += -fno-sanitize-coverage=trace-cmp
$(patsubst %,build/fuzz/fuzz/%.o,image fake faults common engine mutator fuzz_header) build/fuzz/src/crc.o: \
	FUZZ_HOOK += -fno-sanitize=fuzzer-no-link
build/afl/src/crc.o: FUZZ_HOOK += -fno-sanitize-coverage=inline-8bit-counters,trace-cmp,pc-table

build/aflmut/mutator.so: $(patsubst %,build/aflmut/fuzz/%.o,engine mutator $(FUZZ_COMMON)) \
		build/aflmut/libqalloc.a
	$(Q)$(CLANG) -shared -pthread $(FUZZ_WRAP) -o $@ $^

build/replay/seeds: build/replay/fuzz/seeds.o build/replay/fuzz/seeds_rules.o \
		build/replay/fuzz/seeds_sweeps.o build/replay/fuzz/seeds_tables.o \
		build/replay/fuzz/seeds_moments.o build/replay/libfuzz.a build/replay/libqalloc.a
	$(Q)$(CC) -fsanitize=address,undefined -pthread $(FUZZ_WRAP) -o $@ $^

fuzz: $(HARNESSES:%=build/fuzz/fuzz_%) ## fuzz with libFuzzer, FUZZ_SECONDS for each harness
	@fuzz/run.sh libfuzzer $(FUZZ_SECONDS) $(FUZZ_JOBS) $(HARNESSES)

fuzz-afl: $(foreach h,$(HARNESSES),build/afl/fuzz_$(h) build/aflcmp/fuzz_$(h)) build/aflmut/mutator.so ## fuzz with AFL++
	@fuzz/run.sh afl $(FUZZ_SECONDS) $(FUZZ_JOBS) $(HARNESSES)

# Every file of the corpus, with no fuzzer: part of `make check`.
FUZZ_RESULTS = $(HARNESSES:%=build/check/replay/fuzz_%.log) $(patsubst %,build/check/replay/%.log,no_leak oss-fuzz)
RESULTS += $(FUZZ_RESULTS)
results: $(FUZZ_RESULTS)
build/check/replay/fuzz_%.log: build/replay/fuzz_% $(wildcard corpus/*/*)
	$(call run,$< -a corpus/answers/$* corpus/$* corpus/regressions)
build/check/replay/no_leak.log: build/no_leak
	$(call run,$<)
build/check/replay/oss-fuzz.log: TEST_SECONDS = 600
build/check/replay/oss-fuzz.log:
	$(call run,env CLANG='$(CLANG)' fuzz/oss-fuzz/try.sh)
build/no_leak: build/plain/fuzz/no_leak.o build/libqalloc.a
	$(Q)$(CC) $(CFLAGS) -pthread -o $@ $^

fuzz-replay: $(HARNESSES:%=build/replay/fuzz_%) build/no_leak ## run the corpus under ASan and UBSan
	@for h in $(HARNESSES); do printf '%-8s ' $$h; \
		build/replay/fuzz_$$h -a corpus/answers/$$h corpus/$$h corpus/regressions || exit 1; \
	done; build/no_leak

# After a change of what the library answers, or of the corpus: then look at what git diff says.
fuzz-answers: $(HARNESSES:%=build/replay/fuzz_%) ## record what the corpus is answered
	@mkdir -p corpus/answers; for h in $(HARNESSES); do \
		build/replay/fuzz_$$h -w corpus/$$h corpus/regressions >corpus/answers/$$h \
			2>build/replay/$$h.log || { cat build/replay/$$h.log; exit 1; }; done

fuzz-msan: $(HARNESSES:%=build/msan/fuzz_%) ## no uninitialised byte reaches the file
	@for h in $(HARNESSES); do printf '%-8s ' $$h; \
		build/msan/fuzz_$$h corpus/$$h corpus/regressions || exit 1; done

fuzz-seeds: build/replay/seeds ## write the named seeds again, the same bytes each time
	build/replay/seeds corpus

# What the corpus alone reaches in the core and the loader.
# Not counted: creation and its paths, attachment and the registry (what they read are system calls), errors.
FUZZ_COVERED ?= $(patsubst %,src/%.c,$(CORE) $(filter-out attach create err guard registry thread trim,$(SHELL_ROOM)))
LLVM_PROFDATA ?= $(firstword $(wildcard /usr/bin/llvm-profdata /usr/bin/llvm-profdata-1*))
LLVM_COV ?= $(firstword $(wildcard /usr/bin/llvm-cov /usr/bin/llvm-cov-1*))
fuzz-coverage: $(HARNESSES:%=build/fuzzcov/fuzz_%) ## lines and branches that the corpus reaches
	@rm -f build/fuzzcov/*.profraw
	@for h in $(HARNESSES); do LLVM_PROFILE_FILE=build/fuzzcov/$$h.profraw \
		build/fuzzcov/fuzz_$$h corpus/$$h corpus/regressions >/dev/null || exit 1; done
	@$(LLVM_PROFDATA) merge -o build/fuzzcov/all.profdata build/fuzzcov/*.profraw
	@$(LLVM_COV) report build/fuzzcov/fuzz_loadmap $(HARNESSES:%=-object build/fuzzcov/fuzz_%) \
		-instr-profile=build/fuzzcov/all.profdata $(FUZZ_COVERED)
	@echo 'Functions of which not all is reached:'
	@$(LLVM_COV) report -show-functions build/fuzzcov/fuzz_loadmap \
		$(HARNESSES:%=-object build/fuzzcov/fuzz_%) \
		-instr-profile=build/fuzzcov/all.profdata $(FUZZ_COVERED) | awk -f fuzz/functions.awk
	@$(LLVM_COV) show build/fuzzcov/fuzz_loadmap $(HARNESSES:%=-object build/fuzzcov/fuzz_%) \
		-instr-profile=build/fuzzcov/all.profdata -show-branches=count $(FUZZ_COVERED) \
		>build/fuzzcov/show.txt
	@awk -f fuzz/uncovered.awk build/fuzzcov/show.txt

fuzz-min: $(HARNESSES:%=build/fuzz/fuzz_%) ## take over what the fuzzers found, minimised
	@fuzz/min.sh $(HARNESSES)

fuzz-mutants: ## remove one rule or bound at a time: does the corpus notice?
	@fuzz/mutants.sh

.PHONY: fuzz fuzz-afl fuzz-answers fuzz-replay fuzz-msan fuzz-seeds fuzz-coverage fuzz-min fuzz-mutants
