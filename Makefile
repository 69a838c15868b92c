# From a fresh clone, with nothing but Python 3.11 or newer and make: `make run` serves, `make test` tests.

# The interpreter to build the environment with: the first of these that is new enough.
PYTHON ?= $(shell for python in python3.12 python3.11 python3.13 python3.14 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
VENV ?= .venv
# Added to the command: make run ARGS="--port 8080", make test ARGS="-k rush -x"
ARGS ?=
SEEDS ?= 10000
MINUTES ?= 5

BIN := $(VENV)/bin
DESCRIBED := setup.py pyproject.toml aurora_atlan/_version.py Makefile
# In the order of their names: the longest files, those of tests/acceptance, come first, the shortest, the unit tests, last.
TWO_AT_ONCE := -n 2 --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help run test check simulate mutate-oracle faults faults-full soak measure bench reference format wheel clean

help: ## Show this help.
	@echo "make TARGET [ARGS=...] [PYTHON=python3.12] [VENV=.venv]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-15s %s\n", $$1, $$2}'

run: $(VENV)/.run ## Serve on http://127.0.0.1:3000 with a PostgreSQL and a Redis of its own; ARGS for serve.
	@exec $(BIN)/aurora-atlan serve $(ARGS)

test: $(VENV)/.dev ## Run all tests, against servers of their own; ARGS for pytest.
	@exec $(BIN)/python -m pytest $(TWO_AT_ONCE) $(ARGS)

check: $(VENV)/.dev ## Check format, style, types and imports, and run the unit tests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q $(TWO_AT_ONCE) tests/unit

simulate: $(VENV)/.dev ## Run the actors over stores that crash and forget, in virtual time; SEEDS=10000.
	@PYTHONPATH=tests $(BIN)/python -m simulation --seeds $(SEEDS) $(ARGS)

mutate-oracle: $(VENV)/.dev ## Plant ten bugs and demand that the checker names each.
	@PYTHONPATH=tests $(BIN)/python -m oracle $(ARGS)

faults: $(VENV)/.dev ## Inject every fault into real servers for some minutes; ARGS="--row KEY" for one.
	@PYTHONPATH=tests $(BIN)/python -m faults --scale ci $(ARGS)

faults-full: $(VENV)/.dev ## The same with the full numbers and the default times: about an hour.
	@PYTHONPATH=tests $(BIN)/python -m faults --scale full $(ARGS)

soak: $(VENV)/.dev ## A sale under a fault every ten seconds, then a report; MINUTES=5.
	@PYTHONPATH=tests $(BIN)/python -m faults.soak --minutes $(MINUTES) $(ARGS)

measure: $(VENV)/.dev ## Measure recovery, memory and idleness.
	@PYTHONPATH=tests $(BIN)/python -m faults.measure $(ARGS)

bench: $(VENV)/.bench ## Measure speed beside baselines and write docs/benchmarks.md; ARGS="--only hot,bare" for parts.
	@exec $(BIN)/python -m benchmarks $(ARGS)

reference: $(VENV)/.dev ## Build the reference of what programs may import into build/reference.
	@$(BIN)/python docs/reference.py build/reference
	@echo "Open build/reference/index.html"

format: $(VENV)/.dev ## Format the code and mend what can be mended.
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

wheel: $(VENV)/.dev ## Build the wheel into dist/.
	$(BIN)/python -m build --wheel --outdir dist .

clean: ## Remove the environment, builds and caches; the data in var/ stays.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say make PYTHON=/path/to/python"; exit 1; }
	@echo "Creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make virtual environments: install its venv module (on Debian: python3-venv)"; exit 1; }

# What is installed stays until the distribution's description changes.
$(VENV)/.run: $(DESCRIBED) | $(VENV)/bin/python
	@echo "Installing what the service needs"
	@$(BIN)/pip install --quiet --editable '.[embedded]'
	@touch $@

$(VENV)/.dev: $(DESCRIBED) | $(VENV)/bin/python
	@echo "Installing what tests and checks need"
	@$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.bench: $(DESCRIBED) | $(VENV)/bin/python
	@echo "Installing what the benchmarks need"
	@$(BIN)/pip install --quiet --editable '.[bench]'
	@touch $@ $(VENV)/.run
