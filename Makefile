# Every command of a working day. `make` alone lists them.
#
# Each target sets up what it needs: system packages (installed where we are root on Debian or Ubuntu, else named),
# the environment in .venv and the compiled extensions. Stamps make that instant when nothing has changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
VENV_ASAN := .venv-asan
BIN := $(VENV)/bin
SECONDS ?= 60
PYTEST_ARGS ?=
BENCH_ARGS ?=

EXT_SOURCES := $(shell find ext src/fastrelay/_ext -name '*.pyx' -o -name '*.pxd' -o -name '*.[ch]')
C_SOURCES := $(sort $(shell find ext -name '*.c'))
C_HEADERS := $(sort $(shell find ext -name '*.h'))
C_TESTS := $(patsubst tests/c/%.c,%,$(sort $(wildcard tests/c/test_*.c)))
C_FUZZERS := $(patsubst tests/c/%.c,%,$(sort $(wildcard tests/c/fuzz_*.c)))
C_OTHERS := $(sort $(wildcard tests/c/*.c bench/load/*.c bench/load/*/*.c))
CFLAGS_BASE := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -iquote ext
SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'

# --- set-up -------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.built ## packages, environment and extensions (instant when nothing changed)

# Asked every time, since it costs milliseconds and a stamp would outlive a removed package.
.PHONY: packages-build packages-fuzz packages-bench packages-deploy packages-browser packages-peers
packages-build packages-fuzz packages-bench packages-deploy packages-browser packages-peers: packages-%:
	@PYTHON=$(PYTHON) .ci/packages $*

define make_environment
$(PYTHON) -m venv $(1)
$(1)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
$(1)/bin/python -m pip install --quiet --group dev
endef

$(VENV)/.installed: pyproject.toml | packages-build
	@echo "setting up $(VENV)"
	$(call make_environment,$(VENV))
	@touch $@

$(VENV)/.built: $(VENV)/.installed setup.py $(EXT_SOURCES)
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable .
	@touch $@

$(VENV_ASAN)/.installed: pyproject.toml | packages-build
	@echo "setting up $(VENV_ASAN)"
	$(call make_environment,$(VENV_ASAN))
	@touch $@

# Not editable: an in-place build would find, and keep, the modules of the other flavour.
$(VENV_ASAN)/.built: $(VENV_ASAN)/.installed setup.py $(EXT_SOURCES) $(shell find src -name '*.py' -o -name '*.pyi')
	FASTRELAY_BUILD=asan $(VENV_ASAN)/bin/python -m pip install --quiet --no-build-isolation --force-reinstall .
	@touch $@

# What others have written and tests and benchmarks run: packages, then programs built from their own registries. The first
# build takes half a minute, so .ci/run has it beside other work; afterwards it is asked every time, which takes a second.
.PHONY: peers-built
peers-built: setup packages-peers
	$(BIN)/python -m bench.prepare

# --- the working day ----------------------------------------------------------

.PHONY: run
run: setup ## start fastrelay on this machine, with a live view
	@exec $(BIN)/fastrelay up

.PHONY: test
test: setup packages-deploy packages-browser peers-built c-test ## every test: C, unit, data plane, pairs, live, browser, deployment, rules
	@# runs of their own: the browser and its call last until the end of theirs, and tests under load want the machine
ifneq ($(PYTEST_ARGS),)
	$(BIN)/python -m pytest -m 'not packaging' $(PYTEST_ARGS)
else
	$(BIN)/python -m pytest tests/e2e
	$(BIN)/python -m pytest --ignore=tests/e2e $(TIMELESS:%=--ignore=%)
	$(BIN)/python -m pytest -m 'not packaging' $(ABREAST) $(TIMELESS)
endif

# Tests that hold no times, as many at once as there are processors.
TIMELESS := tests/unit tests/dataplane tests/pair tests/rules
ABREAST := --numprocesses=auto --dist=worksteal

.PHONY: soak
soak: setup ## at full length, with figures: floods beside live calls; crash, upgrade, reload and memory under load
	FASTRELAY_FLOOD_S=20 $(BIN)/python -m pytest -s tests/live/test_flood.py
	FASTRELAY_SOAK=1 $(BIN)/python -m pytest -s tests/load

.PHONY: test-packaging
test-packaging: setup ## build sdist and wheel, install them in a fresh environment, import
	$(BIN)/python -m pytest tests/rules/test_packaging.py $(PYTEST_ARGS)

.PHONY: test-e2e
test-e2e: setup packages-browser ## real clients, a browser among them, through relay and transceiver
	$(BIN)/python -m pytest tests/e2e $(PYTEST_ARGS)

.PHONY: test-deploy
test-deploy: setup packages-deploy ## unit, image, manifests, alerts and dashboard by their own tools
	$(BIN)/python -m pytest tests/deploy $(PYTEST_ARGS)

.PHONY: lint
lint: setup c-lint ## style, types, stubs, C warnings
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@modules=$$($(BIN)/python -c 'import pkgutil, fastrelay._ext as e; print(*("fastrelay._ext." + m.name for m in pkgutil.iter_modules(e.__path__)))'); \
	if [ -n "$$modules" ]; then echo "stubtest $$modules"; MYPYPATH=src $(BIN)/stubtest $$modules; fi
	@files=$$(find ext src -name '*.pyx' -o -name '*.pxd'); \
	if [ -n "$$files" ]; then echo "cython-lint"; PATH="$(BIN):$$PATH" $(BIN)/cython-lint $$files; fi

.PHONY: format
format: setup ## let ruff format the Python
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: bench bench-full bench-twice
bench: setup packages-bench packages-browser peers-if-possible ## the report in about ten minutes: relay, calls, other relays, each beside its floor
	$(BIN)/python -m bench $(BENCH_ARGS) $(ALSO_MISSED)

bench-full: setup packages-bench packages-browser peers-if-possible ## the report with every peer, every curve and four sittings: about 40 minutes
	$(BIN)/python -m bench --full $(BENCH_ARGS) $(ALSO_MISSED)

bench-twice: setup packages-bench packages-browser peers-if-possible ## two such runs that take turns, for the evidence: about 80 minutes
	$(BIN)/python -m bench --full --twice $(BENCH_ARGS) $(ALSO_MISSED)

# A bar that is missed is a result, and the report says it; what could not be measured is a failure.
ALSO_MISSED = || test $$? = 3

# Before the run, so that nothing is unpacked while it measures. What cannot be had the report names as not run.
.PHONY: peers-if-possible
peers-if-possible:
	@.ci/packages peers || echo "the benchmark goes on without them, and its report names them as not run"

.PHONY: evidence
evidence: setup ## make docs/evidence and the documents' numbers from two full runs of one commit, A=run.json and B=run.json
	$(BIN)/python -m bench.report publish $(A) $(B)
	$(BIN)/python -m bench.report claims --write
	$(BIN)/python -m pytest -q tests/rules/test_evidence.py tests/rules/test_links.py

.PHONY: bench-gate
bench-gate: setup packages-bench ## counts per packet, exact, and CPU time beside C floors; fails above the budget
	$(BIN)/python -m bench.gate

.PHONY: bench-micro
bench-micro: setup ## the micro benchmarks against their saved baseline; fails when one is slower
	$(BIN)/python -m bench.micro

# Units that reach nothing compiled of ours: the sanitizers would watch other people's code, and make its time theirs.
NOT_COMPILED := agent* association audio_files bench_* certificate cli_bench data_channel* dcep demo_page dtls* http_* \
	negotiation opus sctp_packet sdp* signalling_page transceiver_admin worker_*

.PHONY: asan asan-build
asan-build: $(VENV_ASAN)/.built

asan: asan-build packages-deploy c-test ## the suite over extensions built with ASan and UBSan
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
	$(VENV_ASAN)/bin/python -m pytest -m 'not packaging' --ignore=tests/load $(NOT_COMPILED:%='--ignore-glob=tests/unit/test_%.py') --ignore=tests/e2e $(PYTEST_ARGS)

.PHONY: dist
dist: setup ## sdist and wheel in dist/
	$(BIN)/python -m build --no-isolation

.PHONY: clean
clean: ## remove everything generated, environments included
	rm -rf build dist $(VENV) $(VENV_ASAN) .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks src/*.egg-info
	find src tests bench -name __pycache__ -type d -exec rm -rf {} +
	find src -name '*.so' -delete

# --- C ------------------------------------------------------------------------

.PHONY: c-test
c-test: $(addprefix build/c/,$(C_TESTS)) ## the C tests under ASan and UBSan
	@for test in $^; do echo "$${test##*/}"; "$$test"; done

build/c/asan/%.o: %.c $(C_HEADERS) $(wildcard tests/c/*.h) Makefile | packages-build
	@mkdir -p $(@D)
	@echo "  gcc   $<"
	@gcc $(CFLAGS_BASE) $(SANITIZE) -c $< -o $@

build/c/test_%: build/c/asan/tests/c/test_%.o $(C_SOURCES:%.c=build/c/asan/%.o)
	@gcc $(SANITIZE) $^ -lcrypto -o $@

.PRECIOUS: build/c/asan/%.o build/c/fuzz/%.o

.PHONY: fuzz
fuzz: $(addprefix run-,$(C_FUZZERS)) ## run every fuzzer for SECONDS each (default 60)

.PHONY: $(addprefix run-,$(C_FUZZERS))
$(addprefix run-,$(C_FUZZERS)): run-%: build/c/%
	@mkdir -p build/corpus/$* tests/data/fuzz/$*
	@echo "$* for $(SECONDS) s"
	build/c/$* -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -print_final_stats=1 -verbosity=0 \
	  -artifact_prefix=build/corpus/$*- build/corpus/$* tests/data/fuzz/$*

build/c/fuzz/%.o: %.c $(C_HEADERS) $(wildcard tests/c/*.h) Makefile | packages-fuzz
	@mkdir -p $(@D)
	@echo "  clang $<"
	@clang $(CFLAGS_BASE) $(SANITIZE) -fsanitize=fuzzer-no-link -c $< -o $@

build/c/fuzz_%: build/c/fuzz/tests/c/fuzz_%.o $(C_SOURCES:%.c=build/c/fuzz/%.o)
	@clang $(SANITIZE) -fsanitize=fuzzer $^ -lcrypto -o $@

.PHONY: c-lint
c-lint: | packages-build
	@for file in $(C_SOURCES) $(C_OTHERS); do gcc $(CFLAGS_BASE) -O2 -c "$$file" -o /dev/null; done
	@for file in $(C_HEADERS); do gcc $(CFLAGS_BASE) -fsyntax-only -include "$$file" -x c /dev/null; done
	@echo "C: no warnings in $(words $(C_SOURCES) $(C_OTHERS)) sources, $(words $(C_HEADERS)) headers stand alone"
