# The one entry to everything; `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
WAREHOUSE := warehouse/demo

.PHONY: help install demo test test-oracle check format bench clean

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## Make the environment in .venv

.venv/.installed: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: install ## Rate sample_logs/ and show what they cost
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh sample_logs/demo.sh $(WAREHOUSE)

test: install ## Run the tests
	$(BIN)/python -m pytest -q

test-oracle: install ## Compare 200,000 damaged records with the independent oracle (minutes)
	COSTROLL_ORACLE_RECORDS=200000 COSTROLL_ORACLE_SEEDS="1" $(BIN)/python -m pytest -q tests/test_against_oracle.py

check: install ## Lint, types and imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_import_direction.py

format: install ## Put the code in its usual form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## Measure speed and memory beside two references
	$(BIN)/python bench/compare.py

clean: ## Remove the environment, the demo's warehouse and caches
	rm -rf .venv warehouse .pytest_cache .mypy_cache .ruff_cache .hypothesis .bench
