# `make run` and `make test` are the two to know; each command first installs what it needs.
# Requirements: Python 3.11 or newer; for a Kafka on this machine also Java 17 or newer and Maven (tests use Docker's if it runs).

PYTHON ?= python3
BIN := .venv/bin
# Most tests wait for something, so four processes run them, a file each, on one Kafka; one process runs all that need a
# browser. Folders with the slowest files come first in the alphabet. Tests of faults load the machine themselves: they
# run afterwards, three at a time.
AT_ONCE := --numprocesses 4 --dist loadfile --no-loadscope-reorder --ignore tests/faults
FAULTS := --numprocesses 3 --dist load tests/faults
AXE := tests/browser/node_modules/axe-core/axe.min.js
GENERATOR_VERSION := 7.25.0
GENERATOR := .local/openapi-generator-cli-$(GENERATOR_VERSION).jar
EVENTSOURCE := examples/node-eventsource/node_modules/eventsource/package.json

# Python keeps compiled modules even if the environment says otherwise: the tests start it a hundred times.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install install-dev jars packages axe eventsource run test test-slow test-all test-containers soak mutants lint requirements licences audit image helm generator bench bench-peers bench-record peers clean

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
test-slow: install-dev helm generator ## run the slow tests (under 45 minutes)
	$(BIN)/python -m pytest -m "slow or hypothesis" --hypothesis-profile thorough $(AT_ONCE)
	$(BIN)/python -m pytest -m slow tests/faults

test-all: ## run both
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-slow

test-containers: .venv/installed-dev ## try the service on Kafka, PostgreSQL and Redis in containers (needs a container engine)
	@$(BIN)/python -m tests.containers

mutants: .venv/installed-dev ## plant known faults in a copy of the tree: a test must notice each
	$(BIN)/python -m tests.mutants

lint: .venv/installed-dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# uv has its own environment: it must not change what it compiles. It keeps the versions that the .txt files have,
# unless the .in files say otherwise; `make requirements UPGRADE=--upgrade-package=NAME` takes the newest of one. One
# marker stands on each line, since pyproject.toml leaves out PyPy and Windows; without it the files are readable.
COMPILE = .venv-uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command 'make requirements' $(UPGRADE)
MARKER := platform_python_implementation == 'CPython' and sys_platform != 'win32'

requirements: .venv-uv/installed ## compile requirements.in and requirements-dev.in into the .txt files, with hashes
	$(COMPILE) requirements.in --output-file requirements.txt
	$(COMPILE) requirements-dev.in --output-file requirements-dev.txt
	sed -i -e "s/ ; $(MARKER)//" -e "s/ and $(MARKER)//" requirements.txt requirements-dev.txt

licences: .venv/installed ## write docs/licences.md from what is installed
	$(BIN)/python -m tests.licences

audit: .venv-uv/installed ## look for known faults of what is installed (needs the internet; fails if it gets no data)
	.venv-uv/bin/pip-audit --strict --disable-pip --requirement requirements.txt --requirement requirements-dev.txt

# The base by the digest that its registry tells now.
BASE := docker.io/library/python:3.11-slim-bookworm

image: ## build the image, its base pinned by digest (needs Docker and the internet)
	digest=$$(docker buildx imagetools inspect $(BASE) --format '{{.Manifest.Digest}}') && test -n "$$digest" && \
	docker build --build-arg PYTHON_IMAGE=$(BASE)@$$digest --tag eventstreams .

# For the tests of the chart. Building it takes some two minutes, so `make test` does without.
helm: .local/bin/helm ## build Helm, for the tests of the chart (needs Go)

.local/bin/helm:
	@if command -v go > /dev/null && mkdir -p .local/bin && \
	  GOBIN=$(CURDIR)/.local/bin go install helm.sh/helm/v3/cmd/helm@v3.19.2; then :; \
	else \
	  echo "Helm could not be built, so the chart is not rendered in the tests: install Go"; \
	fi

# For the test of the client that it makes: 32 MB, so `make test` does without.
generator: $(GENERATOR) ## fetch openapi-generator, for the tests of generated clients (needs Maven)

$(GENERATOR):
	@if command -v mvn > /dev/null && mvn --batch-mode --quiet dependency:copy -DoutputDirectory=$(dir $@) \
	  -Dartifact=org.openapitools:openapi-generator-cli:$(GENERATOR_VERSION); then :; \
	else \
	  echo "Maven could not fetch openapi-generator, so its client is not tested: install Maven"; \
	fi

soak: .venv/installed-dev ## run for an hour with load, restarts and failures; no event may be lost (MINUTES=... for another time)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),60)

bench: .venv/installed-dev ## run the benchmarks (docs/performance.md)
	$(BIN)/python -m benchmarks.run

bench-peers: .venv/installed-dev peers ## run those of live streams with nchan and django-eventstream beside ours
	$(BIN)/python -m benchmarks.run 'live-*' --peers nchan django-eventstream

bench-record: .venv/installed-dev peers ## run all, three rounds, with the peers, and write the results into docs
	$(BIN)/python -m benchmarks.run --rounds 3 --peers nchan django-eventstream --save
	$(BIN)/python -m benchmarks.hotpath --save
	$(BIN)/python -m benchmarks.report

clean: ## remove .venv, .local (with the local Kafka's data and the database), node_modules and caches
	rm -rf .venv .venv-peers .venv-uv .local tests/browser/node_modules examples/node-eventsource/node_modules
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# On a machine that has only Python and make, there is no `touch`.
TOUCH = $(BIN)/python -c 'import pathlib, sys; [pathlib.Path(each).touch() for each in sys.argv[1:]]'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1): try make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

# The files pin everything, with hashes: nothing is left to resolve. What pip installs is compiled as it would do it, but
# on all cores.
define pip-install
$(BIN)/python -m pip install --quiet --require-hashes --no-deps --no-compile --requirement $<
@$(BIN)/python -m compileall -q -q -j 0 .venv/lib || true
endef

.venv/installed: requirements.txt | $(BIN)/python
	$(pip-install)
	@$(TOUCH) $@

.venv/installed-dev: requirements-dev.txt requirements.txt | $(BIN)/python
	$(pip-install)
	@$(TOUCH) $@ .venv/installed

# Debian's nchan, and django-eventstream in its own environment.
peers: .venv-peers/installed
	@if [ -e /usr/lib/nginx/modules/ngx_nchan_module.so ]; then :; \
	elif command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends nginx libnginx-mod-nchan; then :; \
	else \
	  echo "There is no nchan: install it, such as with \`sudo apt-get install nginx libnginx-mod-nchan\`"; exit 1; \
	fi

.venv-uv/installed:
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/python -m pip install --quiet uv==0.13.9 pip-audit==2.10.1
	@touch $@

.venv-peers/installed: benchmarks/requirements-peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement $<
	@touch $@

# The tests' Kafka, unless Docker runs it. If it is missing, the tests say why.
jars: | $(BIN)/python
	@if command -v mvn > /dev/null; then $(BIN)/python -m streams.local.kafka_jars || true; fi

# Debian's Chromium for the tests of pages, PostgreSQL and Redis for those of several processes, proxies and Prometheus for
# those of deployment. If one cannot be installed, its tests are skipped (or fail, if CI is set). It is one target because
# apt-get cannot run twice at a time.
packages:
	@wanted=""; \
	for pair in chromium:chromium redis-server:redis-server nginx:nginx-light haproxy:haproxy varnishd:varnish promtool:prometheus; do \
	  PATH="$$PATH:/usr/sbin" command -v $${pair%:*} > /dev/null || wanted="$$wanted $${pair#*:}"; \
	done; \
	ls /usr/lib/postgresql/*/bin/postgres > /dev/null 2>&1 || command -v postgres > /dev/null || wanted="$$wanted postgresql"; \
	if [ -z "$$wanted" ]; then :; \
	elif command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$wanted; then :; \
	else \
	  echo "These are missing, so tests that need them are skipped: install them, such as with \`sudo apt-get install $$wanted\`"; \
	fi

# axe-core checks the accessibility of pages; openapi-typescript makes a client. Without npm those tests are skipped (or
# fail, if CI is set).
axe: $(AXE)

$(AXE): tests/browser/package.json
	@if command -v npm > /dev/null && npm install --prefix tests/browser --no-package-lock --no-audit --no-fund --silent; then touch $@; \
	else \
	  echo "npm could not install what tests need, so the accessibility of pages is not checked: install Node.js with npm"; \
	fi

# One of the clients in examples/. Without npm its tests are skipped (or fail, if CI is set).
eventsource: $(EVENTSOURCE)

$(EVENTSOURCE): examples/node-eventsource/package.json
	@if command -v npm > /dev/null && npm install --prefix examples/node-eventsource --no-package-lock --no-audit --no-fund --silent; then touch $@; \
	else \
	  echo "npm could not install the package eventsource, so its example is not tested: install Node.js with npm"; \
	fi
