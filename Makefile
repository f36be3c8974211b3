# Each target sets up all it needs on a machine that has Python 3.11 to 3.13, make and the package index.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Bytecode is compiled once at install; a process that may not write it recompiles the whole stack at each start.
unexport PYTHONDONTWRITEBYTECODE
export UV_COMPILE_BYTECODE := 1
export UV_PROJECT_ENVIRONMENT := .venv

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then $$p -c 'import sys; print(sys.executable)'; break; fi; done)
UV := .uv/bin/uv
RUN := .venv/bin/

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: .venv/.installed ## run the story of one customer in Airflow against the sandbox brand
	@$(RUN)python -m roomtone.sandbox.demo

.PHONY: test
test: .venv/.installed-dev ## run all tests
	@echo "[test] lint and types"
	@$(RUN)ruff check --quiet .
	@$(RUN)ruff format --check --quiet .
	@$(RUN)mypy
	@echo "[test] everything but Airflow, on all cores"
	@$(RUN)pytest -n auto --dist loadfile -m "not airflow"
	@echo "[test] the story in Airflow"
	@$(RUN)pytest -m airflow

# Counting lines in every process takes longer than the tests, so it is not a part of them.
.PHONY: coverage
coverage: .venv/.installed-dev ## run all tests and show the line coverage, which must reach 90 %
	@rm -rf .coverage && mkdir -p .coverage
	@$(RUN)pytest -n auto --dist loadfile -m "not airflow" --cov --cov-report= --cov-fail-under=0
	@$(RUN)pytest -m airflow --cov --cov-append --cov-report=term

.PHONY: up
up: .venv/.installed ## Airflow with its UI, the DAGs and the sandbox brand, until interrupted
	@$(RUN)python -m roomtone.airflow.launcher up

.PHONY: down
down: ## end what `make up` started, and nothing else
	@if [ -x $(RUN)python ]; then $(RUN)python -m roomtone.airflow.launcher down; else echo "nothing to end: roomtone was never set up here"; fi

.PHONY: lint
lint: .venv/.installed-dev ## everything that reads the code without running it
	@$(RUN)ruff check . && $(RUN)ruff format --check . && $(RUN)mypy
	@DBT_SEND_ANONYMOUS_USAGE_STATS=False $(RUN)sqlfluff lint dbt_project/models

.PHONY: bench-model
bench-model: .venv/.installed-dev ## the mood model's figures against their targets, as JSON; needs ROOMTONE_DATA
	@OMP_NUM_THREADS=1 $(RUN)python -m roomtone.sandbox.mood_judgement

.PHONY: bench-brand
bench-brand: .venv/.installed-dev ## label shift, and what labels of a brand add, as JSON; needs ROOMTONE_DATA
	@OMP_NUM_THREADS=1 $(RUN)python -m roomtone.score.brand_benchmark

.PHONY: bench-risk
bench-risk: .venv/.installed-dev ## the risk head against the sandbox's planted hazards, as JSON; simulated
	@OMP_NUM_THREADS=1 $(RUN)python -m roomtone.sandbox.risk_judgement

.PHONY: bench-growth
bench-growth: .venv/.installed-dev ## what a pass over 500 customers costs as history grows a hundredfold, as JSON
	@OMP_NUM_THREADS=1 $(RUN)python -m roomtone.transform.growth_benchmark

.PHONY: bench-sync
bench-sync: .venv/.installed-dev ## the sync's trials against a platform with bad days, as JSON; all figures are simulated
	@OMP_NUM_THREADS=1 $(RUN)python -m roomtone.sandbox.sync_trials

.PHONY: bench-latency
bench-latency: .venv/.installed ## seconds from message to pause in Airflow, as JSON; ARGS="--poll" measures the poll
	@OMP_NUM_THREADS=1 $(RUN)python -m roomtone.sandbox.bench_latency $(ARGS)

.PHONY: bench-load
bench-load: .venv/.installed ## bad hours, bursts, backlogs and faults in Airflow, as JSON
	@OMP_NUM_THREADS=1 $(RUN)python -m roomtone.sandbox.bench_load $(ARGS)

.PHONY: bench-readers
bench-readers: .venv/.installed-dev ## 10,000 queries of three readers while marts are swapped
	@READERS_QUERIES=10000 $(RUN)pytest tests/sync/test_readers.py -q -s -k three_readers -o timeout=3600

.PHONY: docs-dbt
docs-dbt: .venv/.installed ## dbt's own pages of the models and their lineage, from the warehouse in ROOMTONE_HOME
	@$(RUN)python -m roomtone.transform.lineage_page

.PHONY: docs
docs: .venv/.installed-dev ## write the generated pages again
	@$(RUN)roomtone policies docs
	@$(RUN)python -m roomtone.transform.marts_page
	@$(RUN)python -m roomtone.validate.page > docs/validation.md

$(UV):
	@test -n "$(PYTHON)" || { echo "Python: no python3 of 3.11, 3.12 or 3.13 on the PATH; install one or run 'make PYTHON=/path/to/python3.12 ...'"; exit 1; }
	@echo "[setup] uv into .uv with $(PYTHON)"
	@$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

# A virtual environment cannot be moved: its scripts name the folder they were made in.
.venv/.installed: pyproject.toml uv.lock | $(UV)
	@echo "[setup] roomtone and what it needs into .venv"
	@$(UV) sync --quiet --frozen --no-dev --inexact --python "$(PYTHON)"
	@touch $@

.venv/.installed-dev: pyproject.toml uv.lock | $(UV)
	@echo "[setup] roomtone, what it needs and the test tools into .venv"
	@$(UV) sync --quiet --frozen --python "$(PYTHON)"
	@touch .venv/.installed $@
