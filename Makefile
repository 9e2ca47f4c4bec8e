# Targets for developers. CI runs `make test` and `make advisories`.
#   make demo       lint, plan, apply, serve and roll back a real document    (KEEP=1: keep it running)
#   make quick      format, types and unit tests of the packages that changed
#   make check      format, clippy and tests of what changed
#   make test       everything that CI runs
#   make test-full  the slow suites as well
#   make advisories known vulnerabilities of dependencies (needs the network and cargo-deny)
#   make soak       ten minutes of mixed load with a switch every second
#   make bench      figures, beside peers where there are any
#   make dist       the programs of a release, in target/bin-dist
#   make bins       gwc, gwd and the demo's upstream, in target/bin
.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
PROFILE ?= dev
OUT := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
BIN := target/bin
export GWC_BIN ?= $(CURDIR)/$(BIN)/gwc
export GWD_BIN ?= $(CURDIR)/$(BIN)/gwd
export UPSTREAM_BIN ?= $(CURDIR)/$(BIN)/echo-upstream

.PHONY: help demo test test-full advisories quick check soak bench bins dist fmt fmt-check clippy check-arrows tools

help:
	@sed -n 's/^#   //p' Makefile

# Separate invocations, because cargo unifies the features of our crates over one: gwd must not get `author`.
# Third-party crates have the same features in each (crates/workspace-hack): nothing is compiled twice.
bins:
	$(CARGO) build --locked --profile $(PROFILE) -p gwc --bin gwc
	$(CARGO) build --locked --profile $(PROFILE) -p gwd --bin gwd
	$(CARGO) build --locked --profile $(PROFILE) -p e2e --bin echo-upstream
	@mkdir -p $(BIN)
	@for bin in gwc gwd echo-upstream; do \
		cp -f $(OUT)/$$bin $(BIN)/.$$bin.new && mv -f $(BIN)/.$$bin.new $(BIN)/$$bin || exit 1; \
	done

# The profile `demo` does not optimise: it compiles in a third of the time of `dev`.
demo:
	@$(MAKE) --no-print-directory bins PROFILE=demo BIN=target/bin-demo
	@bin=$(CURDIR)/target/bin-demo; GWC_BIN=$$bin/gwc GWD_BIN=$$bin/gwd UPSTREAM_BIN=$$bin/echo-upstream \
		KEEP='$(KEEP)' demo/run

fmt:
	$(CARGO) fmt --all

fmt-check:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked -p openapi -p gwc --no-default-features -- -D warnings

# gwd has no YAML parser and no OpenAPI reader in its tree; bundle and engine no files, no runtime.
check-arrows:
	@! $(CARGO) tree --locked -p gwd -e normal --prefix none | grep -E '^(gwc|sources|vocab|openapi|model|plan|diag|granit-parser|git2|miette|serde_json_path) v' \
		|| { echo 'gwd depends on what only gwc may use' >&2; exit 1; }
	@! $(CARGO) tree --locked -p engine -e normal --prefix none | grep -E '^(tokio|hyper|gwc|gwd|diag) v' \
		|| { echo 'engine depends on what it must not know' >&2; exit 1; }

# What is missing and small is installed where that is allowed. Compiler and formatter come with
# rust-toolchain.toml. A test whose tool is missing all the same is skipped; with CI=true it fails.
TOOLS := curl:curl openssl:openssl git:git skopeo:skopeo h2load:nghttp2-client nginx:nginx node:nodejs \
	valgrind:valgrind haproxy:haproxy testssl:testssl.sh npm:npm redis-server:redis-server \
	docker-registry:docker-registry javac:default-jdk-headless promtool:prometheus systemd-analyze:systemd objdump:binutils
# A browser under any of its names: the first is what Debian installs.
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable
tools:
	@command -v rustfmt >/dev/null && $(CARGO) clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy
	@missing=; for tool in $(TOOLS); do \
		command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool##*:}"; \
	done; \
	command -v $(BROWSERS) >/dev/null || missing="$$missing chromium"; \
	test -z "$$missing" || apt-get update -qq >/dev/null 2>&1; \
	for package in $$missing; do \
		apt-get install -y -qq --no-install-recommends $$package >/dev/null 2>&1 \
			|| echo "$$package is missing and cannot be installed: its tests are skipped" >&2; \
	done; \
	for tool in curl openssl git; do \
		command -v $$tool >/dev/null || { echo "make test needs $$tool: install the package $$tool" >&2; exit 1; }; \
	done
	@for library in websockets:websockets grpc:grpcio grpc_health:grpcio-health-checking grpc_reflection:grpcio-reflection; do \
		python3 -c "import $${library%%:*}" 2>/dev/null || python3 -m pip install -q $${library##*:} >/dev/null 2>&1 || true; \
	done
	@tests/peers/install $(TARGET)/peers

# While working: only what differs from main (BASE=REVISION to say otherwise). `quick` leaves out the
# tests that start programs, `check` the test programs of gwc, gwd and e2e that did not change.
CHANGED = $(shell tests/changed $(BASE))
CHANGED_TESTS = $(shell tests/changed --tests $(BASE))
UNITS = $(filter-out e2e,$(CHANGED))
SMALL = $(filter-out gwc gwd,$(UNITS))
LARGE = $(filter gwc gwd,$(CHANGED))
PROGRAMS = $(filter gwc gwd e2e,$(CHANGED))
quick: fmt-check
	@test -z '$(CHANGED)' || (set -x; $(CARGO) check --locked --all-targets $(CHANGED:%=-p %))
	@test -z '$(UNITS)' || (set -x; $(CARGO) test --locked --lib $(UNITS:%=-p %) --no-fail-fast)

check: fmt-check $(if $(filter e2e,$(CHANGED)),bins)
	@test -z '$(SMALL)' || (set -x; $(CARGO) clippy --locked --all-targets $(SMALL:%=-p %) -- -D warnings)
	@test -z '$(PROGRAMS)' || (set -x; $(CARGO) clippy --locked --lib --bins $(CHANGED_TESTS:%=--test %) $(PROGRAMS:%=-p %) -- -D warnings)
	@test -z '$(SMALL)' || (set -x; $(CARGO) test --locked $(SMALL:%=-p %) --no-fail-fast)
	@test -z '$(LARGE)' || (set -x; $(CARGO) test --locked --lib $(LARGE:%=-p %) --no-fail-fast)
	@test -z '$(CHANGED_TESTS)' || (set -x; $(CARGO) test --locked $(PROGRAMS:%=-p %) $(CHANGED_TESTS:%=--test %) --no-fail-fast)

# The demo is one of the tests (tests/tests/demo.rs). The last line counts passed, failed and skipped.
test: tools fmt-check check-arrows clippy bins
	@CARGO='$(CARGO)' tests/run

# Not a part of `test`, which needs no network.
advisories:
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo 'make advisories needs cargo-deny: cargo install --locked cargo-deny' >&2; exit 1; }
	$(CARGO) deny --locked check advisories

# The slow suites too: GWC_TEST_FULL switches them on inside the same tests.
test-full: export GWC_TEST_FULL = 1
test-full: test
	$(CARGO) test --locked --workspace --doc
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' $(CARGO) doc --locked --workspace --no-deps
	$(CARGO) test --locked --manifest-path fuzz/Cargo.toml --no-default-features --target-dir $(TARGET)

# SECONDS_OF_SOAK: duration. Default: 600s.
soak: export GWC_SOAK_SECONDS ?= $(or $(SECONDS_OF_SOAK),600)
soak: bins
	$(CARGO) test --locked -p e2e --test soak -- --nocapture

# What is shipped: gwd is optimised for what it does most. It has no fault hook: not even the name of
# its variable.
dist:
	$(MAKE) bins PROFILE=dist BIN=target/bin-dist
	bench/optimise target/bin-dist
	@! grep -l GWC_FAULT target/bin-dist/gwc target/bin-dist/gwd || { echo 'the fault hook is in the programs of a release' >&2; exit 1; }

# Figures with the shipped binaries, and docs/load-report.md; see bench/README.md. The rest of the
# machine should be idle.
bench: dist
	GWC=$(CURDIR)/target/bin-dist/gwc GWD=$(CURDIR)/target/bin-dist/gwd bench/report
