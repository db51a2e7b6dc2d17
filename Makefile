# SPDX-License-Identifier: MIT
# `make help` lists the targets.  Knobs: the ?= lines, DEV=1 for -Werror, V=1 to see commands.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
DESTDIR ?=
CFLAGS ?= -O2 -g
GCC ?= gcc
CLANG ?= clang
JOBS ?= 2

# The rooms of src/: the proved core, the operating system, and the shell between them.
CORE = crc hdr geo geo_place geo_size size span run check check_root
OS = os_file os_memory os_signal os_thread
SHELL_ROOM = api attach block create err guard heap intent load lock open pool pool_run publish registry reserve \
	roots scan stream sweep thread trim verify walk
DEMO = main query text worker

SOURCES = $(patsubst %,src/%.c,$(CORE) $(OS) $(SHELL_ROOM))
PACKAGES = g++ libcmocka-dev valgrind clang clang-format clang-tidy cppcheck mandoc gcovr pkgconf \
	libclang-rt-14-dev llvm afl++ frama-c-base why3 z3 cvc4 libgmp-dev spin

version = $(shell sed -n 's/^.define QALLOC_VERSION_$(1) //p' include/qalloc.h)
MAJOR := $(call version,MAJOR)
VERSION := $(MAJOR).$(call version,MINOR).$(call version,PATCH)
SONAME = libqalloc.so.$(MAJOR)

# What this compiler takes.
Q = $(if $(V),,@)
HARDENED := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 $(foreach f,-fstack-protector-strong \
	-fstack-clash-protection -fcf-protection -mbranch-protection=standard,\
	$(shell $(CC) -Werror $(f) -x c -c -o /dev/null /dev/null 2>/dev/null && echo '$(f)'))
WARNINGS = -Wall -Wextra -Wconversion -Wshadow $(if $(DEV),-Werror)
LANGUAGE = -std=c11 -D_GNU_SOURCE -Iinclude -pthread
LINKED = -Wl,-z,relro,-z,now,-z,noexecstack

all: build/libqalloc.a build/libqalloc.so ## the library, into build/

# A flavour is everything, built one way.  $(1): its name and folder; $(2): the compiler and flags.
define flavour
build/$(1)/%.o: %.c Makefile tests/check.mk
	@mkdir -p $$(@D)
	$$(Q)$(2) $$(LANGUAGE) $$(WARNINGS) $$(CPPFLAGS) -MMD -MP -c -o $$@ $$<
build/$(1)/libqalloc.a: $$(SOURCES:%.c=build/$(1)/%.o)
	@rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
endef
$(eval $(call flavour,plain,$$(CC) -fPIC -fvisibility=hidden $$(HARDENED) $$(CFLAGS)))

build/libqalloc.a: build/plain/libqalloc.a
	@echo '  $@'
	$(Q)cp $< $@

# Never unloaded: a thread that exits later still calls into it.
build/$(SONAME): $(SOURCES:%.c=build/plain/%.o) src/qalloc.map
	@echo '  $@'
	$(Q)$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=src/qalloc.map -Wl,-z,defs,-z,nodelete \
		$(LINKED) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $(filter %.o,$^)

build/libqalloc.so: build/$(SONAME)
	$(Q)ln -sf $(SONAME) $@

build/wordindex: $(DEMO:%=build/plain/examples/wordindex/%.o) build/libqalloc.a
	$(Q)$(CC) $(LINKED) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^

bench: build/bench ## ratios to malloc(3), one thread
	@build/bench
build/bench: build/plain/bench/bench.o build/libqalloc.a
	$(Q)$(CC) $(LINKED) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^

demo: build/wordindex ## build and run examples/wordindex
	@build/wordindex

check: deps ## every test; ends with `N passed, N failed`
	@rm -rf build/check
	+@$(MAKE) --no-print-directory -k -j$(JOBS) DEV=1 results || true
	@awk -f tests/summary.awk -- $(RESULTS)

lint: deps ## clang-format, clang-tidy, cppcheck, gcc -fanalyzer, mandoc
	@rm -rf build/lint
	+@$(MAKE) --no-print-directory -k -j$(JOBS) DEV=1 lint-format lint-tidy lint-cppcheck \
		lint-analyzer lint-man

coverage: deps ## a table of covered lines by file
	@rm -rf build/check/coverage; find build/coverage -name '*.gcda' -delete 2>/dev/null || true
	+@$(MAKE) --no-print-directory -k -j$(JOBS) coverage-results || true
	gcovr --root . --filter src/ --print-summary --fail-under-line 90 --gcov-ignore-parse-errors \
		build/coverage
	@gcovr --root . $(CORE:%=--filter src/%.c) --fail-under-line 100 build/coverage >/dev/null

include tests/check.mk tests/torture/torture.mk fuzz/fuzz.mk proofs/proofs.mk

install: all ## into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/include/qthread $(DESTDIR)$(LIBDIR)/pkgconfig \
		$(DESTDIR)$(PREFIX)/share/man/man3 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 include/qalloc.h $(DESTDIR)$(PREFIX)/include
	install -m 644 include/qthread/qalloc.h $(DESTDIR)$(PREFIX)/include/qthread
	install -m 644 build/libqalloc.a $(DESTDIR)$(LIBDIR)
	install -m 755 build/$(SONAME) $(DESTDIR)$(LIBDIR)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libqalloc.so
	printf '%s\n' 'Name: libqalloc' 'Description: malloc in a file, shared by many processes' \
		'Version: $(VERSION)' 'Cflags: -I$(PREFIX)/include' 'Libs: -L$(LIBDIR) -lqalloc' \
		'Libs.private: -pthread' >$(DESTDIR)$(LIBDIR)/pkgconfig/qalloc.pc
	install -m 644 man/*.3 $(DESTDIR)$(PREFIX)/share/man/man3
	install -m 644 man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5

format: ## clang-format every source in place
	clang-format -i $(FORMATTED)

deps: ## install what the tests need (Debian packages)
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | \
		grep -qx installed || echo $$p; done | tr '\n' ' '); \
	[ -z "$$missing" ] && exit 0; \
	install="apt-get install -y --no-install-recommends $$missing"; \
	if ! command -v apt-get >/dev/null; then echo "Please install: $$missing"; exit 1; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "Please run: sudo $$install"; exit 1; fi; \
	echo "Installing $$missing"; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -q && $$install </dev/null

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: all bench demo check lint coverage install format deps clean help
.DELETE_ON_ERROR:
.SECONDARY:
-include $(shell find build -name '*.d' 2>/dev/null)
