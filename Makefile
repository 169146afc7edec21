# Everything a person or a machine does with this repository. `make` alone lists it.
# Needs Python 3.11+ and make; the rest is installed into .venv on first use.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PACKAGE := $(VENV)/.package-installed
TOOLS := $(VENV)/.tools-installed
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# One thread per process: two workers on two cores, and numbers that do not depend on the machine.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
WORKERS ?= 2
DEMO ?= runs/demo

.PHONY: help demo essay test check format findings bench docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(PACKAGE)  ## the essay's questions, small: a table of verdicts and runs/demo/report.html
	@$(BIN)/skipnorm demo --out $(DEMO)

essay: $(PACKAGE)  ## the same at full scale, about an hour on two cores: runs/full/report.html
	@$(BIN)/skipnorm demo --scale full --out runs/full

test: $(TOOLS)  ## every test but the slow ones, doctests too; warnings are errors
	@$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) -q

check: $(TOOLS)  ## the one gate: format, lint, types, import contracts, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) test

format: $(TOOLS)  ## let ruff format and repair what it can
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

findings: $(TOOLS)  ## the slow tests: published findings again, audits, races against peers
	@$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) -q -m slow || [ $$? -eq 5 ]

bench: $(TOOLS)  ## what measuring costs, as ratios to bare PyTorch
	@shopt -s nullglob; for script in benchmarks/*.py; do \
		echo "== $$script"; $(ONE_THREAD) $(BIN)/python $$script || exit 1; done

docs:  ## list what there is to read
	@ls -1 *.md; find docs -name '*.md' | sort

clean:  ## remove what was built; runs/ and .venv stay
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@python=; for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if $$candidate -c '$(NEW_ENOUGH)' 2>/dev/null; then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then \
		echo "skipnorm needs Python 3.11 or newer; found: $$(python3 --version 2>&1 || true)." >&2; \
		echo "Install one, or name it: make demo PYTHON=/path/to/python3.12" >&2; exit 1; fi; \
	echo "making $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV) || { rm -rf $(VENV); \
		echo "The module venv is incomplete (on Debian: apt install python3-venv)." >&2; exit 1; }

$(PACKAGE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing skipnorm (a few minutes the first time)"
	@$(PIP) -e .
	@touch $@

$(TOOLS): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing skipnorm and its development tools (a few minutes the first time)"
	@$(PIP) -e '.[dev]'
	@touch $(PACKAGE) $@
