# SPDX-License-Identifier: MIT
# What `make check`, `make lint` and `make coverage` run.  Each run leaves a log in
# build/check/, whose last line is "exit N"; summary.awk adds them up.

TEST_SECONDS ?= 240
STORM_SECONDS ?= 60

UNIT = test_addr test_alloc test_api test_cancel test_check test_check_root test_churn test_contended \
	test_create test_crowd test_daemon test_damage test_exec test_files test_fork test_geo \
	test_guard test_guarded test_hdr test_header test_limits test_lost test_misuse test_network test_open \
	test_os_file test_os_lock test_os_memory test_os_thread test_params test_patience test_publish \
	test_recover test_reopen test_replaced test_roots test_run test_size test_space test_span test_static \
	test_sweep test_takeover test_thread test_threads
THREADED = test_alloc test_fork test_os_thread test_publish test_span test_static test_thread \
	test_threads
# All but two that take minutes there, two whose lost pages valgrind takes for errors, and one that
# measures how long calls wait.
MEMCHECKED = $(filter-out test_churn test_guard test_guarded test_lost test_patience test_space,$(UNIT))
TESTS = $(UNIT) storm storm_publish
MISUSE = behind_the_end closed_map double_free double_free_large double_free_static heap_pointer \
	interior interior_large interior_static metadata never_allocated null_map other_map \
	realloc_freed realloc_interior stack_pointer swapped_arguments unaligned
OLD_API = queue strings tree

comma = ,
SANITIZED = -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all
$(eval $(call flavour,asan,$$(GCC) $$(SANITIZED) -fsanitize=address$$(comma)undefined))
$(eval $(call flavour,tsan,$$(GCC) $$(SANITIZED) -fsanitize=thread))
$(eval $(call flavour,clang,$$(CLANG) -O2 -g))
$(eval $(call flavour,coverage,$$(GCC) -O0 -g --coverage -include tests/covered_exit.h))

# $(1): the command.  Children of a test that hangs die with it.
define run
@mkdir -p $(@D)
@timeout -k 5 $(TEST_SECONDS) $(1) >$@ 2>&1 </dev/null; status=$$?; echo "exit $$status" >>$@; \
	[ $$status = 0 ] && echo '  ok     $(@:build/check/%.log=%)' || \
	echo '  FAILED $(@:build/check/%.log=%)'
endef

# An archive, because tests of the core and of the system do without it.
# $(1): a flavour; $(2): the compiler and flags to link with.
define tests
build/$(1)/libsupport.a: $$(patsubst %,build/$(1)/tests/%.o,support processes watch space)
	@$(AR) rcs $$@ $$^
$$(TESTS:%=build/$(1)/%): build/$(1)/%: build/$(1)/tests/%.o build/$(1)/libsupport.a \
		build/$(1)/libqalloc.a
	$$(Q)$(2) -pthread -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^) -lcmocka
build/$(1)/storm: build/$(1)/tests/storm_reckon.o build/$(1)/tests/storm_master.o
build/$(1)/storm_publish: build/$(1)/tests/storm_master.o
build/check/$(1)/%.log: build/$(1)/%
	$$(call run,$$<)
endef
$(eval $(call tests,plain,$$(CC) $$(CFLAGS)))
$(eval $(call tests,asan,$$(GCC) -fsanitize=address$$(comma)undefined))
$(eval $(call tests,tsan,$$(GCC) -fsanitize=thread))
$(eval $(call tests,clang,$$(CLANG)))
$(eval $(call tests,coverage,$$(GCC) --coverage))

build/check/valgrind/%.log: build/plain/%
	$(call run,valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
		--child-silent-after-fork=yes $<)

# Programs of users: only the public header, and the shared library.
USER = $(WARNINGS) -g -Iinclude
USED = -Lbuild -lqalloc -Wl,-rpath,$(CURDIR)/build
build/misuse/%: tests/misuse/%.c build/libqalloc.so include/qalloc.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(USER) -o $@ $< $(USED)
build/old_api/%: tests/old_api/%.c build/libqalloc.so include/qalloc.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(USER) -std=gnu99 -pedantic -o $@ $< $(USED)
build/old_api/%: tests/old_api/%.cc build/libqalloc.so include/qalloc.h
	@mkdir -p $(@D)
	$(Q)$(CXX) $(USER) -pedantic -o $@ $< $(USED)
build/check/misuse/%.log: build/misuse/%
	$(call run,tests/misuse.sh $< tests/misuse/$*.c)
build/check/old_api/%.log: build/old_api/%
	$(call run,$<)

# A disk that is busy with something else keeps a call waiting, too.
STORM_DIR := $(if $(wildcard /dev/shm/.),--dir /dev/shm)
# The storm: who is killed when is chance, so it runs in several ways, and longest as users do.
# ThreadSanitizer sees one process: what another one did in between orders nothing for it.
build/check/storm/dynamic.log: build/plain/storm
	$(call run,$< --processes 2 --threads 4 --kills --seconds $(STORM_SECONDS) $(STORM_DIR))
build/check/storm/static.log: build/plain/storm
	$(call run,$< --processes 4 --threads 2 --kills --static --seconds 10 $(STORM_DIR))
build/check/storm/zero.log: build/plain/storm
	$(call run,$< --processes 3 --threads 3 --kills --zero --seconds 10 $(STORM_DIR))
build/check/storm/asan.log: build/asan/storm
	$(call run,$< --processes 2 --threads 4 --kills --seconds 10 $(STORM_DIR))
build/check/storm/tsan.log: build/tsan/storm
	$(call run,$< --processes 1 --threads 8 --seconds 10 $(STORM_DIR))

build/check/storm/publish.log: build/plain/storm_publish
	$(call run,$< --seconds 10 $(STORM_DIR))
build/check/storm/publish-one.log: build/plain/storm_publish
	$(call run,$< --seconds 10 --streams 1 --stop --zero $(STORM_DIR))
build/check/storm/publish-tsan.log: build/tsan/storm_publish
	$(call run,$< --processes 1 --threads 8 --no-kills --seconds 10 $(STORM_DIR))

build/check/symbols.log: build/libqalloc.so
	$(call run,tests/symbols.sh build/$(SONAME))
build/check/install.log: all
	$(call run,env CC='$(CC)' MAKE='$(MAKE)' tests/install.sh)
build/check/demo.log: build/wordindex
	$(call run,build/wordindex)

RESULTS = $(MISUSE:%=build/check/misuse/%.log) $(OLD_API:%=build/check/old_api/%.log) \
	$(patsubst %,build/check/storm/%.log,dynamic static zero asan tsan publish publish-one \
		publish-tsan) \
	build/check/symbols.log build/check/install.log build/check/demo.log \
	$(foreach f,plain asan clang,$(UNIT:%=build/check/$(f)/%.log)) \
	$(THREADED:%=build/check/tsan/%.log) $(MEMCHECKED:%=build/check/valgrind/%.log)
results: $(RESULTS)
build/check/storm/coverage.log: build/coverage/storm
	$(call run,$< --processes 2 --threads 4 --kills --seconds 20)
coverage-results: build/check/storm/coverage.log $(UNIT:%=build/check/coverage/%.log)

FORMATTED = $(wildcard include/*.h include/*/*.h src/*.[ch] tests/*.[ch] tests/*/*.c examples/*.c \
	examples/*/*.[ch] fuzz/*.[ch])

lint-format:
	clang-format --dry-run --Werror $(FORMATTED)
lint-tidy: $(SOURCES:%.c=build/lint/%.tidy) $(DEMO:%=build/lint/examples/wordindex/%.tidy)
lint-analyzer: $(SOURCES:%.c=build/lint/%.analyzed)
lint-cppcheck:
	cppcheck -q --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
		--std=c11 --suppress=missingIncludeSystem -Iinclude src examples
lint-man: man/qalloc.3 man/qalloc.5
	mandoc -T lint -W warning $^
	tests/sentences.sh
build/lint/%.tidy: %.c .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(LANGUAGE) $(WARNINGS) 2>$@.err || { cat $@.err; exit 1; }
	@touch $@
build/lint/%.analyzed: %.c
	@mkdir -p $(@D)
	@$(GCC) -fanalyzer -Werror -O2 $(LANGUAGE) -c -o /dev/null $<
	@touch $@

.PHONY: results coverage-results lint-format lint-tidy lint-analyzer lint-cppcheck lint-man
