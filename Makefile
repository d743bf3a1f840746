# The one entry to everything; `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
WAREHOUSE := warehouse/demo

.PHONY: help install demo test test-oracle test-month test-mutation test-faults test-kill test-race test-disk test-flips fuzz check format bench bench-mixed bench-size bench-files bench-nights bench-reprice bench-peers clean test-histories

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## Make the environment in .venv

.venv/.installed: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: install ## Rate sample_logs/ and show what they cost
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh sample_logs/demo.sh $(WAREHOUSE)

test: install ## Run the tests
	$(BIN)/python -m pytest -q -n auto

test-oracle: install ## Compare 200,000 damaged records with the independent oracle (minutes)
	COSTROLL_ORACLE_RECORDS=200000 COSTROLL_ORACLE_SEEDS="1" $(BIN)/python -m pytest -q tests/test_against_oracle.py

test-month: install ## Reconcile a month of 300,000 requests with six planted causes (minutes)
	COSTROLL_MONTH_REQUESTS=300000 $(BIN)/python -m pytest -q -s --durations=3 tests/test_reconciled_month.py

test-histories: install ## Run HISTORIES=200 new histories of 50 steps against a model (hours)
	COSTROLL_HISTORIES=$(or $(HISTORIES),200) $(BIN)/python -m pytest -q tests/test_warehouse_histories.py

test-mutation: install ## Change one thing after another in MODULE=durable and see whether a test notices
	$(BIN)/python -m tests.mutation $(MODULE)

test-faults: install ## Every fault at every call, every power cut (half an hour)
	COSTROLL_FAULTS=all $(BIN)/python -m pytest -q -s tests/test_faults.py tests/test_power_cut.py

test-kill: install ## 1,000 kills at random instants, with readers looking on (an hour)
	COSTROLL_KILLS=1000 $(BIN)/python -m pytest -q -s tests/test_survival.py -k kills

test-race: install ## 200 rounds of 8 processes that start at once, some killed (an hour)
	COSTROLL_ROUNDS=200 $(BIN)/python -m pytest -q -s tests/test_survival.py -k processes

test-disk: install ## Full disks of 64 sizes; needs the right to mount a tmpfs
	COSTROLL_DISK_SIZES=64 $(BIN)/python -m pytest -q -s tests/test_survival.py -k "disk or limit"

test-flips: install ## 10,000 damaged files, each of which verify must find
	COSTROLL_FLIPS=10000 $(BIN)/python -m pytest -q -s tests/test_bit_flips.py

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= framing streams json_lines documents csv_rows rate_cards settings manifests statements

fuzz: install ## Fuzz each target for FUZZ_SECONDS (Python 3.11 only)
	@$(BIN)/python -c 'import sys; sys.version_info[:2] == (3, 11) or sys.exit("make fuzz needs Python 3.11, the only one atheris has wheels for: make clean; make fuzz PYTHON=python3.11")'
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.txt
	@for target in $(FUZZ_TARGETS); do echo "-- $$target"; $(BIN)/python -m fuzz $$target --seconds $(FUZZ_SECONDS) || exit 1; done

check: install ## Lint, types and imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_import_direction.py

format: install ## Put the code in its usual form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## Measure a cold night, a dirty log, start-up and threads (minutes; ARGS="--lines 200000 --rounds 1")
	$(BIN)/python -m bench $(ARGS)

bench-mixed: ## Measure a mixed log beside a pure one
bench-size: ## Measure 20,000,000 lines beside 2,000,000 (11 GB of disk); ARGS="--days 1" for one day
bench-files: ## Measure one file beside many files of 50 MB and 50 kB, .gz and .zst
bench-nights: ## Measure a night after 400 others; builds them first (half an hour, once)
bench-reprice: ## Measure repricing a month of 60,000,000 records; builds it first (a quarter of an hour, once)
bench-mixed bench-size bench-files bench-nights bench-reprice: bench-%: install
	$(BIN)/python -m bench $* $(ARGS)

bench-peers: install .bench/peers/.installed ## Measure price libraries and hand-written scripts on the same records
	$(BIN)/python -m bench peers $(ARGS)

.bench/peers/.installed: requirements-bench.txt
	$(PYTHON) -m venv .bench/peers
	.bench/peers/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

clean: ## Remove the environment, the demo's warehouse and caches
	rm -rf .venv warehouse .pytest_cache .mypy_cache .ruff_cache .hypothesis .bench .fuzz
