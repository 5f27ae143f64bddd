# `make run` and `make test` are all that is needed; each installs what it needs first.
# Wants Python 3.11 or newer; for Kafka on this machine also Java 17 or newer and Maven (not where Docker runs, for tests).

PYTHON ?= python3
BIN := .venv/bin
# Many tests wait for something: files of them go on beside each other, in processes that share a Kafka, and those in a
# browser in one process; what takes longest comes first by its name. Tests of faults load the machine themselves, so
# they come afterwards, and fewer at a time.
AT_ONCE := --numprocesses 3 --dist loadfile --no-loadscope-reorder --ignore tests/faults
FAULTS := --numprocesses 2 --dist load tests/faults
AXE := tests/browser/node_modules/axe-core/axe.min.js
EVENTSOURCE := examples/node-eventsource/node_modules/eventsource/package.json

# Compiled modules are kept even where the environment says otherwise: the tests start Python a hundred times.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install install-dev jars packages axe eventsource run test test-slow test-all mutants lint bench bench-peers bench-record peers clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

install: .venv/installed ## make .venv with what the service runs on

install-dev: ## the same, with what tests and lint need
	@$(MAKE) --no-print-directory --jobs .venv/installed-dev jars packages axe eventsource

run: .venv/installed ## start Kafka, demo events and the server at http://127.0.0.1:8092 (PORT=... for another port)
	@exec $(BIN)/python -m eventstreams_site.devserver

test: install-dev ## run the tests except the slow ones (under 10 minutes)
	$(BIN)/python -m pytest -m "not slow" $(AT_ONCE)
	$(BIN)/python -m pytest -m "not slow" $(FAULTS)

# The slow faults measure memory and load: one at a time. Property tests run again, with ten times the examples.
test-slow: install-dev ## run the slow tests (under 45 minutes)
	$(BIN)/python -m pytest -m "slow or hypothesis" --hypothesis-profile thorough $(AT_ONCE)
	$(BIN)/python -m pytest -m slow tests/faults

test-all: ## run both
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-slow

mutants: .venv/installed-dev ## plant known faults in a copy of the tree: a test must notice each
	$(BIN)/python -m tests.mutants

lint: .venv/installed-dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed-dev ## run the benchmarks (docs/performance.md)
	$(BIN)/python -m benchmarks.run

bench-peers: .venv/installed-dev peers ## run those of live streams with nchan and django-eventstream beside ours
	$(BIN)/python -m benchmarks.run 'live-*' --peers nchan django-eventstream

bench-record: .venv/installed-dev peers ## run all, three rounds, with the peers, and write the results into docs
	$(BIN)/python -m benchmarks.run --rounds 3 --peers nchan django-eventstream --save
	$(BIN)/python -m benchmarks.hotpath --save
	$(BIN)/python -m benchmarks.report

clean: ## remove .venv, .local (with the local Kafka's data and the database), node_modules and caches
	rm -rf .venv .venv-peers .local tests/browser/node_modules examples/node-eventsource/node_modules
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1): try make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

# What pip installs is compiled as it would do it, but on all cores.
define pip-install
$(BIN)/python -m pip install --quiet --no-compile --requirement $<
@$(BIN)/python -m compileall -q -q -j 0 .venv/lib || true
endef

.venv/installed: requirements.txt | $(BIN)/python
	$(pip-install)
	@touch $@

.venv/installed-dev: requirements-dev.txt requirements.txt | $(BIN)/python
	$(pip-install)
	@touch $@ .venv/installed

# Debian's nchan, and django-eventstream in an environment of its own.
peers: .venv-peers/installed
	@if [ -e /usr/lib/nginx/modules/ngx_nchan_module.so ]; then :; \
	elif command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends nginx libnginx-mod-nchan; then :; \
	else \
	  echo "There is no nchan: install it, such as with \`sudo apt-get install nginx libnginx-mod-nchan\`"; exit 1; \
	fi

.venv-peers/installed: benchmarks/requirements-peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement $<
	@touch $@

# The tests' Kafka, where it does not come from Docker. If it is wanted and not there, the tests say why.
jars: | $(BIN)/python
	@if command -v mvn > /dev/null; then $(BIN)/python -m streams.local.kafka_jars || true; fi

# Pages are tested in Debian's Chromium, the database's outages with its PostgreSQL. Tests of what cannot be installed are
# skipped (but not if CI is set). One target: apt-get does not run twice at a time.
packages:
	@wanted=""; \
	command -v chromium > /dev/null || wanted="chromium"; \
	ls /usr/lib/postgresql/*/bin/postgres > /dev/null 2>&1 || command -v postgres > /dev/null || wanted="$$wanted postgresql"; \
	if [ -z "$$wanted" ]; then :; \
	elif command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$wanted; then :; \
	else \
	  echo "These are missing, so tests that need them are skipped: install them, such as with \`sudo apt-get install $$wanted\`"; \
	fi

# Their accessibility is checked with axe-core. Where npm cannot be had, those tests are skipped (but not if CI is set).
axe: $(AXE)

$(AXE): tests/browser/package.json
	@if command -v npm > /dev/null && npm install --prefix tests/browser --no-package-lock --no-audit --no-fund --silent; then touch $@; \
	else \
	  echo "npm could not install axe-core, so the accessibility of pages is not checked: install Node.js with npm"; \
	fi

# One of the clients in examples/. Where npm cannot be had, its tests are skipped (but not if CI is set).
eventsource: $(EVENTSOURCE)

$(EVENTSOURCE): examples/node-eventsource/package.json
	@if command -v npm > /dev/null && npm install --prefix examples/node-eventsource --no-package-lock --no-audit --no-fund --silent; then touch $@; \
	else \
	  echo "npm could not install the package eventsource, so its example is not tested: install Node.js with npm"; \
	fi
