.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo dev test check vectors docs reference bench bench-growth bench-soak simulate failpoints chaos lock clean servers

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

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Make .venv with the `worker` command in it, from the lock file

demo: setup ## Show orders flow through the worker, on servers of its own (under a minute)
	@$(BIN)/python -m worker.demo

dev: setup ## Start the worker and its servers, and stay up
	@$(BIN)/worker dev

test: setup check servers ## Run every check and every test, servers included
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

bench: setup ## Measure the worker beside what others use and its ceilings (ORDERS=5000 ROUNDS=3)
	@$(BIN)/python -m tests.bench $(if $(ORDERS),--orders $(ORDERS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-soak: setup ## Measure a worker's memory over very many events (EVENTS=1000000)
	@$(BIN)/python -m tests.bench.soak $(if $(EVENTS),--events $(EVENTS))

bench-growth: setup ## Measure how the cost of an event grows (AXES="history journal" POINTS=2)
	@$(BIN)/python -m tests.bench.growth $(AXES) $(if $(POINTS),--points $(POINTS))

lock: setup ## Make requirements.lock anew from pyproject.toml, with the newest versions
	@$(BIN)/uv pip compile pyproject.toml --extra embedded --extra otlp --group dev --group docs \
		--universal --python-version 3.11 --upgrade --generate-hashes --no-header --no-annotate --quiet --output-file requirements.lock >/dev/null
	@echo "requirements.lock is made; \`make setup\` installs it"

clean: ## Remove .venv and what tools left behind
	@rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find worker machines migrations tests -type d -name __pycache__ -prune -exec rm -rf {} +

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
