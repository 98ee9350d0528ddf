.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: build image image-check test-pythons test-lowest licences built-helm chart help setup demo dev test check vectors docs reference bench bench-growth bench-soak simulate failpoints chaos lock clean servers

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

VENV := .venv
BIN := $(VENV)/bin
# What is interrupted leaves nothing outside of the environment.
TEMPORARY := $(VENV)/tmp
SETTING_UP := TMPDIR="$(CURDIR)/$(TEMPORARY)"
LOCKED := $(VENV)/.made-from-lock
INSTALLED := $(VENV)/.has-worker
# The first of these that is Python 3.11 or newer makes the environment; `make PYTHON=… setup` names another.
PYTHON :=
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
# Tests wait for servers and time-outs more than they compute, so there are more of them than processors.
TESTS_AT_ONCE := 3
LOCK = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Make .venv with the `worker` command in it, from the lock file

demo: setup ## Show orders flow through the worker, on servers of its own (under a minute)
	@$(BIN)/python -m worker.demo

dev: setup ## Start the worker and its servers, and stay up
	@$(BIN)/worker dev

test: setup built-helm check servers ## Run every check and every test, servers included
	@status=0; \
	$(BIN)/python -m pytest -n $(TESTS_AT_ONCE) -m "not alone" || status=$$?; \
	$(BIN)/python -m pytest -m alone || status=$$?; \
	exit $$status

check: setup ## Look at format, lint, types and layers
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache

vectors: setup ## Run the reference vectors (VECTORS_DIR names another folder)
	@$(BIN)/python -m tests.vectors

simulate: setup ## Run the worker on simulated servers, seed by seed (SEED=1 RUNS=200)
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS))

failpoints: setup servers ## Fail every call in every way, on real servers (CELLS=Publisher picks some)
	@$(BIN)/python -m tests.failpoints $(if $(CELLS),--cells "$(CELLS)")

chaos: setup servers ## Run workers while servers and workers are killed, stopped and cut off (MINUTES=5 SEED=1)
	@$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

docs: setup ## Build the site of the documentation, into build/site
	@$(BIN)/python -m tests.docs.site

reference: setup ## Write the pages anew that are made from the code
	@$(BIN)/python -m tests.docs.reference

chart: setup ## Write anew what is made from the chart's values: README, schema, snapshots
	@$(BIN)/python -m tests.helm.generate

bench: setup ## Measure the worker beside what others use and its ceilings (ORDERS=5000 ROUNDS=3)
	@$(BIN)/python -m tests.bench $(if $(ORDERS),--orders $(ORDERS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-soak: setup ## Measure a worker's memory over very many events (EVENTS=1000000)
	@$(BIN)/python -m tests.bench.soak $(if $(EVENTS),--events $(EVENTS))

bench-growth: setup ## Measure how the cost of an event grows (AXES="history journal" POINTS=2)
	@$(BIN)/python -m tests.bench.growth $(AXES) $(if $(POINTS),--points $(POINTS))

build: setup ## Build wheel, sdist and bill of materials, into dist/
	@$(BIN)/python -m tests.release.building

image: setup ## Build the image by Docker (BASE=python:3.13-slim-trixie@sha256:… holds the base)
	@version=$$($(BIN)/python -m hatchling version) && \
	docker build $(if $(BASE),--build-arg BASE=$(BASE)) --build-arg VERSION=$$version --tag orchestrator-worker:$$version .

image-check: setup servers ## Build the image without Docker and run it on Kafka and PostgreSQL (root, on Debian)
	@$(BIN)/python -m pytest tests/release/image_check.py

test-pythons: setup ## Run the quick tests in each supported Python (VERSIONS="3.12 3.14" picks some)
	@$(BIN)/python -m tests.release.pythons $(VERSIONS)

test-lowest: setup ## Run the quick tests with the lowest versions of the dependencies
	@$(BIN)/python -m tests.release.pythons --lowest

licences: setup ## List the dependencies' licences anew
	@$(BIN)/python -m tests.release.licences

lock: setup ## Make the lock files anew from pyproject.toml, with the newest versions
	@$(LOCK) pyproject.toml --extra embedded --extra otlp --group dev --group docs --upgrade --output-file requirements.lock >/dev/null
	@$(LOCK) pyproject.toml --extra otlp --constraint requirements.lock --output-file requirements-image.lock >/dev/null
	@$(LOCK) --group build --constraint requirements.lock --output-file requirements-build.lock >/dev/null
	@echo "The lock files are made; \`make setup licences\` installs them and lists their licences"

clean: ## Remove .venv and what tools left behind
	@rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find worker machines migrations tests -type d -name __pycache__ -prune -exec rm -rf {} +

# Helm takes minutes to build, so that is begun first; the tests that need it wait for it.
built-helm: setup
	@$(BIN)/python -m tests.servers.helm >$(TEMPORARY)/helm.txt 2>&1 &

# What the tests need beyond wheels: on CI a missing server is a failure, so it is installed there.
servers:
	@if [ "$${CI:-}" = true ] && [ "$$(id -u)" = 0 ]; then sh tests/servers/install.sh; fi

$(LOCKED): requirements.lock
	@for python in $(PYTHONS); do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
		echo "make: no Python 3.11 or newer among: $(PYTHONS). Install one (Debian: apt-get install python3)," \
			"or name it: make PYTHON=/path/to/python3 setup" >&2; exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing python3-venv, which Debian keeps apart from python3 …"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "make: $$found can't make an environment: the module venv or ensurepip is missing." \
			"Install it (Debian: apt-get install python3-venv), then run make again" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$found --version) from requirements.lock …"; \
	$$found -m venv --clear --without-pip $(VENV) && mkdir $(TEMPORARY)
	@$(SETTING_UP) $(BIN)/python -I -m ensurepip >$(TEMPORARY)/pip.txt 2>&1 || { cat $(TEMPORARY)/pip.txt >&2; exit 1; }
	@$(SETTING_UP) $(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	@touch $@

$(INSTALLED): $(LOCKED) pyproject.toml
	@$(SETTING_UP) $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@
	@echo "$(BIN)/worker is ready"
