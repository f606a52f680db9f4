# ringpost: one Makefile for the whole house; `make help` lists what it does.
#
# Sources are found by wildcard, objects live under build/<flavour>/, flavours stand side by side.
#   make FLAVOUR=release (the default) | debug | asan | fuzz (needs CC=clang)
#   make WOLFSSL=packaged (the default) | tuned (built by dist/wolfssl-tuned; in build/<flavour>-tuned/)
# A source file that holds main() is named main.c or lies in a folder of one-file programs
# (bench/floor, bench/micro, tests/unit, tests/fuzz); everything else is in one archive.

FLAVOUR ?= release
CC      ?= gcc
WOLFSSL ?= packaged
BUILD   := build/$(FLAVOUR)$(if $(filter tuned,$(WOLFSSL)),-tuned)
PACKAGES := liburing libconfuse lmdb jansson libcrypt libgsasl libargon2 libmicrohttpd libpq ldap lber pam librhonabwy libcurl

ifeq ($(V),1)
Q :=
else
Q := @
endif
say = $(if $(Q),@printf '  %-6s %s\n' '$(1)' '$(2)')

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
            -Wswitch-enum -Wvla $(if $(CI),-Werror)
HARDENING := -fPIE -fstack-protector-strong -ftrivial-auto-var-init=zero
LINK_HARDENING := -pie -Wl,-z,relro,-z,now

CFLAGS_release = -O2 -g $(HARDENING) -D_FORTIFY_SOURCE=$(FORTIFY)
CFLAGS_debug   = -O0 -g3 $(HARDENING)
CFLAGS_asan    := -O1 -g3 -fno-omit-frame-pointer -fsanitize=address,undefined \
                  -fno-sanitize-recover=undefined
LDFLAGS_release := $(LINK_HARDENING)
LDFLAGS_debug   := $(LINK_HARDENING)
CFLAGS_fuzz     := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
                  -fno-sanitize-recover=undefined
LDFLAGS_asan    := -fsanitize=address,undefined
LDFLAGS_fuzz    := -fsanitize=address,undefined
LDLIBS_release  := -ljemalloc

# clang 14 knows _FORTIFY_SOURCE up to 2 and wants a word before it zeroes automatic variables.
ifneq ($(findstring clang,$(CC)),)
FORTIFY := 2
HARDENING += -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang
else
FORTIFY := 3
endif

# Debian's library, or its source package built for speed and linked statically.
TUNED := build/deps/wolfssl
ifeq ($(WOLFSSL),packaged)
PACKAGES += wolfssl
else ifeq ($(WOLFSSL),tuned)
CPPFLAGS += -I$(TUNED)/include
WOLFSSL_LIBS := $(TUNED)/lib/libwolfssl.a -lm
WOLFSSL_BUILT := $(TUNED)/version
else
$(error WOLFSSL=$(WOLFSSL): it is packaged or tuned)
endif

CPPFLAGS += -I. -D_GNU_SOURCE $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
CFLAGS_ALL = -std=gnu11 $(WARNINGS) $(CFLAGS_$(FLAVOUR)) $(CFLAGS)
LDLIBS_ALL = $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) $(WOLFSSL_LIBS) -lpthread \
             $(LDLIBS_$(FLAVOUR))

HOUSE_SOURCES := $(filter-out %/main.c,$(wildcard io/*.c io/base/*.c storage/*.c storage/*/*.c \
                   core/*.c core/*/*.c))
HOUSE_OBJECTS := $(HOUSE_SOURCES:%.c=$(BUILD)/%.o)
BENCH_LOAD_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard bench/load/*.c))
SINGLE_SOURCES := $(wildcard bench/floor/*.c bench/micro/*.c)
# OpenSSL is what we measure ourselves against, never a part of the house.
ifneq ($(shell pkg-config --exists libssl && echo yes),yes)
SINGLE_SOURCES := $(filter-out bench/micro/handshakes_openssl.c,$(SINGLE_SOURCES))
endif
SINGLES := $(SINGLE_SOURCES:%.c=$(BUILD)/%)
UNIT_SOURCES := $(wildcard tests/unit/test_*.c)
UNITS := $(UNIT_SOURCES:%.c=$(BUILD)/%)
SUPPORT_SOURCES := $(wildcard tests/support/*.c) tests/transcripts/transcript.c
SUPPORT_OBJECTS := $(SUPPORT_SOURCES:%.c=$(BUILD)/%.o)
TEST_TOOLS := $(BUILD)/tests/transcripts/play $(BUILD)/tests/tools/fill
CRASH_SOURCES := $(wildcard tests/crash/*.c)
TEST_TOOLS += $(CRASH_SOURCES:%.c=$(BUILD)/%) $(BUILD)/tests/cost/sessions
FAULT_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/faults/*.c))
FAULT_WRAPPED := malloc calloc realloc reallocarray strdup free mdb_env_create mdb_env_open \
                 mdb_dbi_open mdb_txn_begin mdb_txn_commit mdb_txn_renew mdb_get mdb_put mdb_del \
                 mdb_cursor_open mdb_cursor_get
POWER_PROGRAMS := $(BUILD)/tests/power/logdisk $(BUILD)/tests/power/crash
TEST_TOOLS += $(POWER_PROGRAMS)
POWER_OBJECTS := $(patsubst %,$(BUILD)/tests/power/%.o,powerlog cut states attach model verdict)
SIM_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/sim/*.c))
SIM := $(BUILD)/tests/sim/sim
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)
FUZZERS := $(FUZZ_SOURCES:%.c=$(BUILD)/%)
PROGRAMS := $(BUILD)/ringpostd $(BUILD)/ringpost $(BUILD)/ringpost-bench

.PHONY: all units fuzz-targets check test fuzz fuzz-smoke run deps install uninstall help clean format
all: $(PROGRAMS) $(SINGLES)	## build the programs (FLAVOUR=release, debug or asan; WOLFSSL=tuned; V=1 shows commands)
	@:

$(BUILD)/libhouse.a: $(HOUSE_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/ringpostd: $(BUILD)/core/main.o $(BUILD)/libhouse.a
$(BUILD)/ringpost: $(BUILD)/core/ctl/main.o $(BUILD)/libhouse.a
$(BUILD)/ringpost-bench: $(BENCH_LOAD_OBJECTS) $(BUILD)/libhouse.a
$(SINGLES): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libhouse.a
$(TEST_TOOLS): $(BUILD)/%: $(BUILD)/%.o $(SUPPORT_OBJECTS) $(BUILD)/libhouse.a
$(POWER_PROGRAMS): $(POWER_OBJECTS)
$(BUILD)/tests/power/logdisk: LDLIBS_ALL += -lfuse3
$(PROGRAMS) $(SINGLES) $(TEST_TOOLS):
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(LDFLAGS_$(FLAVOUR)) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL)

$(UNITS): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libhouse.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(LDFLAGS_$(FLAVOUR)) $(LDFLAGS) -o $@ \
	  $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LDLIBS_ALL)

# The generator's own parts are in no archive: its tests name them.
$(BUILD)/tests/unit/test_histogram: $(BUILD)/bench/load/histogram.o
$(BUILD)/tests/unit/test_mix: $(BUILD)/bench/load/mix.o $(BUILD)/bench/load/client.o

# Allocations and LMDB go through the wrappers of tests/faults.
$(BUILD)/tests/faults/faults: $(FAULT_OBJECTS) $(BUILD)/libhouse.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_$(FLAVOUR)) $(LDFLAGS) $(FAULT_WRAPPED:%=-Wl,--wrap=%) -o $@ $^ \
	  -lcmocka $(LDLIBS_ALL)

$(BUILD)/tests/damage/bits: $(BUILD)/tests/damage/bits.o $(BUILD)/libhouse.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_$(FLAVOUR)) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS_ALL)

# Its objects stand before the archive: where both have a function, theirs is taken.
SIM_WRAPPED := malloc calloc realloc aligned_alloc free strdup mmap munmap getdelim getrandom \
               pthread_create pthread_join pthread_setname_np pthread_mutex_init \
               pthread_mutex_destroy pthread_mutex_lock pthread_mutex_unlock pthread_cond_init \
               pthread_cond_destroy pthread_cond_wait pthread_cond_signal pthread_cond_broadcast
$(SIM): $(SIM_OBJECTS) $(BUILD)/libhouse.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(LDFLAGS_$(FLAVOUR)) $(LDFLAGS) \
	  $(SIM_WRAPPED:%=-Wl,--wrap=%) -o $@ $^ $(LDLIBS_ALL)

units: $(UNITS) $(TEST_TOOLS) $(BUILD)/tests/faults/faults $(BUILD)/tests/damage/bits $(SIM)	## build the unit tests and test tools

$(FUZZERS): $(BUILD)/%: $(BUILD)/%.o $(SUPPORT_OBJECTS) $(BUILD)/libhouse.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) -fsanitize=fuzzer $(LDFLAGS_$(FLAVOUR)) -o $@ $^ $(LDLIBS_ALL)

fuzz-targets: $(FUZZERS)

$(TUNED)/version: dist/wolfssl-tuned dist/packages.tuned
	@dist/install-packages tuned
	@dist/wolfssl-tuned

$(BUILD)/%.o: %.c $(WOLFSSL_BUILT)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

check:				## units, transcripts, tidiness, some crashes, 60 simulated worlds: a minute
	@tests/run check

test:				## install the test tools, build all flavours, run everything
	@dist/install-packages build test
	@tests/run test

.PHONY: sim
sim: $(SIM)			## simulated worlds: SEED=n shows one (TALK=1 tells all of it), SEEDS=2000 runs many
	$(Q)if [ -n "$(SEED)" ]; then $(SIM) $(if $(TALK),--talk) $(SEED); \
	  else RINGPOST_BUILD=$(BUILD) tests/sim/run $(SEEDS); fi

fuzz:				## build the fuzz targets into build/fuzz
	$(Q)$(MAKE) --no-print-directory FLAVOUR=fuzz CC=clang fuzz-targets

fuzz-smoke: fuzz		## run each fuzz target for 30 seconds
	$(Q)tests/fuzz/smoke 30

run:				## install what is missing, build, serve a demo spool on 127.0.0.1:1110
	@dist/install-packages build run
	@$(MAKE) --no-print-directory FLAVOUR=release all
	@dist/demo build/release

deps:				## install what building, testing and the demo need
	@dist/install-packages build run test

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
DOCDIR ?= $(PREFIX)/share/doc/ringpost

install: $(PROGRAMS)		## install into DESTDIR, PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(SYSCONFDIR)/ringpost
	install -m 755 $(BUILD)/ringpostd $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 $(BUILD)/ringpost $(BUILD)/ringpost-bench $(DESTDIR)$(PREFIX)/bin/
	for section in 1 5 8; do \
	  install -d $(DESTDIR)$(PREFIX)/share/man/man$$section && \
	  install -m 644 dist/man/*.$$section $(DESTDIR)$(PREFIX)/share/man/man$$section/ || exit 1; \
	done
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR)
	sed 's#/usr/sbin/#$(PREFIX)/sbin/#' dist/ringpostd.service > $(DESTDIR)$(UNITDIR)/ringpostd.service
	install -m 644 dist/ringpost.sysusers $(DESTDIR)$(SYSUSERSDIR)/ringpost.conf
	for folder in filter.d jail.d; do \
	  install -D -m 644 -t $(DESTDIR)$(DOCDIR)/fail2ban/$$folder dist/fail2ban/$$folder/* || exit 1; \
	done
	install -m 644 -t $(DESTDIR)$(DOCDIR) README.md LICENSE
	install -D -m 644 -t $(DESTDIR)$(DOCDIR)/docs docs/*
	test -e $(DESTDIR)$(SYSCONFDIR)/ringpost/ringpost.conf || \
	  install -m 644 dist/ringpost.conf $(DESTDIR)$(SYSCONFDIR)/ringpost/ringpost.conf

uninstall:			## remove what install put there; configuration and mail stay
	rm -f $(DESTDIR)$(PREFIX)/sbin/ringpostd $(DESTDIR)$(PREFIX)/bin/ringpost \
	  $(DESTDIR)$(PREFIX)/bin/ringpost-bench $(DESTDIR)$(UNITDIR)/ringpostd.service \
	  $(DESTDIR)$(SYSUSERSDIR)/ringpost.conf
	rm -rf $(DESTDIR)$(DOCDIR)
	for page in dist/man/*.[0-9]; do \
	  rm -f $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit 1; \
	done

format:				## format every source with the project's .clang-format
	$(Q)git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

clean:				## remove all that was built
	$(Q)rm -rf build

help:				## this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*##[[:space:]]*\(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
	  awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

$(BUILD)/bench/micro/handshakes_openssl: LDLIBS_ALL += -lssl -lcrypto
# The generator computes logarithms, holds its page, and has tests that are linked with parts of it.
$(BUILD)/ringpost-bench $(BUILD)/tests/unit/test_arrivals: LDLIBS_ALL += -lm
$(BUILD)/bench/load/report_html.o: bench/load/page.html
BENCH_PURE := $(patsubst %,$(BUILD)/bench/load/%.o,mix client client_lines compare source)
$(BUILD)/tests/unit/test_mix: $(BENCH_PURE)
$(BUILD)/tests/unit/test_compare: $(BENCH_PURE)
$(BUILD)/tests/unit/test_arrivals: $(BUILD)/bench/load/arrivals.o

.PHONY: figures bench bench-compare tls-figures
figures:			## the promised figures, into docs/PERFORMANCE.md: about 5 minutes
	@bench/figures

bench:				## ringpost and the floor, into bench/results; TLS by both builds: about 9 minutes
	@bench/run
	@bench/tls-figures --no-peer

tls-figures:			## what TLS costs, both builds, beside Dovecot, into docs/PERFORMANCE.md: 8 minutes
	@bench/tls-figures --write

bench-compare:			## the same beside Dovecot, Courier, Cyrus and popa3d: about 20 minutes
	@bench/run --compare
