# make demo, make test: see README.md. The rest is for contributors: README.md, "Development".
#
# Variables: BUILD (output folder), MODE (plain, asan, tsan, fuzz), MODULES (the layers to build, lowest first),
# TEST (a prefix of C test names, or pytest arguments), URL (make demo URL=https://...), SECONDS (each fuzzer; make chaos, make paces),
# REQUESTS (make soak), SEED (make chaos, make paces, make fuzz-python; 0: drawn).

PYTHON ?= python3
CC ?= cc
BUILD ?= build
MODE ?= plain
MODULES ?= core crypto profile tls http http1 http2 net client
VENV ?= .venv
SECONDS ?= 60
REQUESTS ?= 1000000
SEED ?= 0
NEEDS := libcrypto libnghttp2 libevent_core libevent_pthreads libbrotlidec libzstd zlib libpsl

WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Werror
CFLAGS_plain := -O2 -g
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
CFLAGS_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
# Fuzzing needs clang, and may skip signature checks: a fuzzer cannot forge them.
CFLAGS_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -DTR_FUZZ
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
LDFLAGS_fuzz := -fsanitize=fuzzer,address,undefined
ifeq ($(MODE),fuzz)
CC := clang
endif

OUT := $(BUILD)/$(MODE)
CPPFLAGS += -Isrc -Itests/c -D_GNU_SOURCE $(shell pkg-config --cflags $(NEEDS) 2>/dev/null)
ALL_CFLAGS := -std=c11 -fPIC -fvisibility=hidden $(WARNINGS) $(CFLAGS_$(MODE)) $(CFLAGS)
LIBS := $(shell pkg-config --libs $(NEEDS) 2>/dev/null) -lpthread -lm

FUZZERS := $(wildcard src/*/fuzz_*.c)
SRC := $(filter-out $(FUZZERS),$(foreach m,$(MODULES),$(wildcard src/$(m)/*.c)))
TESTS := tests/c/tr_test.c $(foreach m,$(MODULES),$(wildcard tests/c/test_$(m).c) $(wildcard tests/c/test_$(m)_*.c))
TOOLS := $(wildcard tools/*.c)
OBJ := $(SRC:%.c=$(OUT)/%.o)
TEST_OBJ := $(TESTS:%.c=$(OUT)/%.o)
TOOL_BIN := $(TOOLS:tools/%.c=$(OUT)/%)
REPLAY_BIN := $(foreach f,$(FUZZERS),$(OUT)/replay_$(patsubst fuzz_%.c,%,$(notdir $(f))))
FUZZ_BIN := $(foreach f,$(FUZZERS),$(OUT)/fuzz_$(patsubst fuzz_%.c,%,$(notdir $(f))))

.PHONY: all lib tools replays check-c check-oom ext test test-c test-sanitizers test-python test-fuzz lint generate original \
	demo docs bench load-fastapi fuzz bogo-shim system-packages venv clean
all: lib tools ext
lib: $(OUT)/libtr.a
tools: $(TOOL_BIN)
replays: $(REPLAY_BIN)

# ---------------------------------------------------------------------------------------------- C: library, tests, tools

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(OUT)/libtr.a: $(OBJ)
	@rm -f $@
	ar rcs $@ $^

$(OUT)/tr_tests: $(TEST_OBJ) $(OUT)/libtr.a
	$(CC) $(LDFLAGS_$(MODE)) $(TEST_OBJ) $(OUT)/libtr.a $(LIBS) -lssl -o $@

$(TOOL_BIN): $(OUT)/%: tools/%.c $(OUT)/libtr.a
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS_$(MODE)) $< $(OUT)/libtr.a $(LIBS) -o $@

check-c: $(OUT)/tr_tests
	$(OUT)/tr_tests $(TEST)

check-oom: $(OUT)/tr_tests
	$(OUT)/tr_tests --oom $(TEST)

bogo-shim: $(OUT)/bogo_shim

# A fuzz target is its parser's neighbour (src/<layer>/fuzz_<name>.c). It builds as a replayer of its corpus with any
# compiler, and as a fuzzer with MODE=fuzz.
define FUZZ_RULES
$(OUT)/replay_$(patsubst fuzz_%.c,%,$(notdir $(1))): $(1) $(OUT)/libtr.a
	$$(CC) $$(CPPFLAGS) $$(ALL_CFLAGS) -DTR_FUZZ_REPLAY $$(LDFLAGS_$$(MODE)) $$< $(OUT)/libtr.a $$(LIBS) -o $$@
$(OUT)/fuzz_$(patsubst fuzz_%.c,%,$(notdir $(1))): $(1) $(OUT)/libtr.a
	$$(CC) $$(CPPFLAGS) $$(ALL_CFLAGS) $$(LDFLAGS_$$(MODE)) $$< $(OUT)/libtr.a $$(LIBS) -o $$@
endef
$(foreach f,$(FUZZERS),$(eval $(call FUZZ_RULES,$(f))))

test-fuzz: $(REPLAY_BIN)
	@for program in $(REPLAY_BIN); do \
		name=$$(basename $$program | sed s/replay_//); \
		echo "replay $$name"; $$program tests/corpus/$$name || exit 1; done

# Targets that are Python (tests/fuzz/fuzz_<name>.py); the tests replay their corpora.
PYTHON_FUZZERS := $(patsubst tests/fuzz/fuzz_%.py,%,$(wildcard tests/fuzz/fuzz_*.py))

fuzz:
	$(MAKE) MODE=fuzz fuzz-run
	$(MAKE) fuzz-python
.PHONY: fuzz-run fuzz-python
fuzz-python: venv ext
	@for name in $(PYTHON_FUZZERS); do \
		echo "fuzz $$name for $(SECONDS) s"; \
		$(VENV)/bin/python tests/fuzz/fuzz_$$name.py --seconds $(SECONDS) --seed $(SEED) $(BUILD)/corpus/$$name \
			tests/corpus/$$name || exit 1; done
fuzz-run: $(FUZZ_BIN)
	@for program in $(FUZZ_BIN); do \
		name=$$(basename $$program | sed s/fuzz_//); mkdir -p $(BUILD)/corpus/$$name; \
		echo "fuzz $$name for $(SECONDS) s"; \
		$$program -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
			-artifact_prefix=$(BUILD)/corpus/$$name- $(BUILD)/corpus/$$name tests/corpus/$$name || exit 1; done

# ---------------------------------------------------------------------------------------------- Python: venv, extension

PACKAGES := build-essential pkg-config libssl-dev libnghttp2-dev libevent-dev libbrotli-dev libzstd-dev zlib1g-dev \
	libpsl-dev python3-dev python3-venv
TEST_PACKAGES := curl nginx-light nghttp2-server nghttp2-client gnutls-bin openssl golang-go nodejs ca-certificates valgrind \
	squid tinyproxy dante-server microsocks nghttp2-proxy apache2-bin openssh-client node-ws \
	golang-github-gorilla-websocket-dev chromium firefox-esr xvfb

# Installs system packages where they are missing and it may; else says which.
system-packages:
	@tools/install_packages.sh $(PACKAGES)
test-packages: system-packages
	@tools/install_packages.sh $(TEST_PACKAGES)
.PHONY: test-packages

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

venv: $(VENV)/.tests
$(VENV)/.tests: $(VENV)/bin/python tests/requirements.txt docs/requirements.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

EXT_SOURCES := $(wildcard src/*/*.c src/*/*.h src/*/*.inc src/*/*.def tls_requests/*.py tls_requests/*/*.py) setup.py pyproject.toml
ext: $(VENV)/.ext
$(VENV)/.ext: $(VENV)/bin/python $(EXT_SOURCES)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check setuptools wheel
	TLS_REQUESTS_BUILD_TEMP=$(BUILD)/ext $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-build-isolation -e .
	@touch $@

generate:
	$(PYTHON) tools/gen_profiles.py
	$(PYTHON) tools/gen_errors.py

# ---------------------------------------------------------------------------------------------- what people run

demo: system-packages
	@$(MAKE) --no-print-directory ext $(VENV)/.demo
	@$(VENV)/bin/python examples/demo.py $(URL)
$(VENV)/.demo: $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check cryptography
	@touch $@

# One after another: each uses both cores for itself, and the first failure is the last thing that is shown.
test: test-packages
	$(MAKE) --no-print-directory venv ext tools
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory test-c
	$(MAKE) --no-print-directory test-fuzz
	$(MAKE) --no-print-directory test-sanitizers
	$(MAKE) --no-print-directory -j1 test-python

# What every profile sends over real connections, against its file (the suite takes one of each kind).
check-profiles: venv ext
	TR_ALL_PROFILES=1 $(VENV)/bin/python -m pytest tests/fingerprint/test_live.py -q $(TEST)
.PHONY: check-profiles

# Servers that take one suite, group, signature scheme or version, and every profile that offers it (the suite takes one of each offer).
check-offers: venv ext
	TR_ALL_PROFILES=1 $(VENV)/bin/python -m pytest tests/tls/test_every_profile.py -q $(TEST)
.PHONY: check-offers

# Chromium and Firefox recorded several times each and compared with our client (the suite records each once).
check-browsers: test-packages venv ext
	TR_BROWSERS=1 $(VENV)/bin/python -m pytest tests/fingerprint/test_browsers.py -q $(TEST)
.PHONY: check-browsers

# JA3, JA4 and the Akamai text computed by other tools from captured packets: capturing needs root.
check-independent: venv ext
	@tools/install_packages.sh tshark
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check ja4plus==1.4.0
	$(VENV)/bin/python -m pytest tests/fingerprint/independent_tools.py -q $(TEST)
.PHONY: check-independent

test-c:
	$(MAKE) --no-print-directory check-c
	$(MAKE) --no-print-directory check-oom

test-sanitizers:
	$(MAKE) --no-print-directory MODE=asan check-c tools test-fuzz
	$(MAKE) --no-print-directory MODE=tsan check-c TEST=/net
	$(MAKE) --no-print-directory MODE=tsan check-c TEST=/client

# The original, for tests/compat: in a folder of its own, for its import name is ours.
original: $(BUILD)/original/.installed
$(BUILD)/original/.installed: tests/compat/original.txt $(VENV)/bin/python
	rm -rf $(BUILD)/original
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --target $(BUILD)/original -r tests/compat/original.txt
	@touch $@

test-python: venv ext tools original
	TR_BUILD=$(abspath $(OUT)) $(VENV)/bin/python -m pytest tests $(TEST)

# The last three: annotations by two checkers (of the package, the examples, and of what a program sees), and those of the compiled
# module against the module.
lint: venv ext
	$(VENV)/bin/python tools/check_layers.py
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	$(VENV)/bin/python -m mypy.stubtest tls_requests --allowlist tools/stubtest_allowlist.txt

# The documentation as a site, build/site/index.html. A warning is an error.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet --site-dir $(BUILD)/site
	@echo "$(BUILD)/site/index.html"
$(VENV)/.docs: $(VENV)/bin/python docs/requirements.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@touch $@

# Flat memory at length: SOAK_MIB each way, both clients, both versions of HTTP.
SOAK_MIB ?= 2048
soak-stream: venv ext
	SOAK_MIB=$(SOAK_MIB) $(VENV)/bin/python -m pytest tests/streaming/test_streaming_memory.py -s -q
.PHONY: soak-stream

# Requests through a relay that cuts, stalls, delays and resets connections, 64 at once, for SECONDS; and very many requests in one
# process (tests/hardening).
chaos: venv ext
	PYTHONPATH=tests $(VENV)/bin/python tests/hardening/chaos.py --seconds $(SECONDS) --seed $(SEED)
paces: venv ext
	PYTHONPATH=tests $(VENV)/bin/python tests/hardening/paces.py --seconds $(SECONDS) --seed $(SEED)
soak: venv ext
	PYTHONPATH=tests $(VENV)/bin/python tests/hardening/soak.py --requests $(REQUESTS)
.PHONY: chaos paces soak

bench: ext
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(VENV)/bin/python benchmarks/run.py $(BENCH)
bench-download: venv ext
	$(VENV)/bin/python benchmarks/download.py $(BENCH)
.PHONY: bench-download

# The web application of examples/ with 200 users for a minute; LOAD="--loop asyncio" passes arguments.
load-fastapi: venv ext
	$(VENV)/bin/python tools/load_fastapi.py $(LOAD)

clean:
	rm -rf $(BUILD) $(VENV) *.egg-info

-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d)
