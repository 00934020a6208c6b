# Everything a newcomer needs: Python 3.11 or later, and make.
#
#   make demo      set up, train on handwritten digits, and leave a report to look at
#   make test      set up, then run the tests
#   make long      set up, then run the long tests and some mutants (an hour and more)
#   make lint      ruff and mypy
#   make docs      the documents as a site, build/docs/index.html
#   make bench     time the engines against each other and other libraries
#   make clean     remove what the above have made
#
# PYTHON=python3.12   the interpreter to set up with (by default the first that is new enough)
# ORACLE=             test without PyTorch (its tests are then skipped)
# PYTEST='-k digits'  more words for pytest
# MUTANTS=60          how many mutants `make long` tries, drawn at random

MAKEFLAGS += --no-print-directory
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
ORACLE ?= yes
WORKERS ?= 2
MUTANTS ?= 60
PYTEST ?=

.PHONY: demo test long lint docs bench clean

demo: $(VENV)/report
	@$(RUN) -m chainrule train digits --report

# A core for each worker: the libraries' own threads would only fight over them.
test: $(VENV)/tests $(if $(filter yes,$(ORACLE)),$(VENV)/oracle)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS) $(PYTEST)

long: $(VENV)/tests $(VENV)/trackers $(if $(filter yes,$(ORACLE)),$(VENV)/oracle)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS) -m long $(PYTEST)
	@$(RUN) tests/mutants.py --sample $(MUTANTS) --jobs $(WORKERS)

lint: $(VENV)/lint
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

docs: $(VENV)/docs
	@$(RUN) -m sphinx -q -W --keep-going -b html -d build/doctrees docs build/docs
	@echo "the site is build/docs/index.html"

bench: $(VENV)/installed
	@$(RUN) -m chainrule bench
	@$(RUN) benchmarks/names.py
	@$(RUN) benchmarks/estimators.py

clean:
	rm -rf $(VENV) build dist runs src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What is installed is installed again when pyproject.toml has changed.

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then echo "make: Python 3.11 or later is needed; name it with PYTHON=..." >&2; exit 1; fi
	@echo "making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	@"$(PYTHON)" -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing chainrule"
	@$(PIP) -e .
	@touch $@

$(VENV)/report: pyproject.toml $(VENV)/installed
	@echo "installing what the report needs"
	@$(PIP) -e '.[report]'
	@touch $@

$(VENV)/tests: pyproject.toml $(VENV)/installed
	@echo "installing what the tests need"
	@$(PIP) -e '.[test]'
	@touch $@

# PyTorch is an oracle that the tests can do without; where it cannot be had, it is not asked for every time.
$(VENV)/oracle: pyproject.toml $(VENV)/tests
	@echo "installing PyTorch, to compare gradients with"
	@$(PIP) -e '.[oracle]' || echo "PyTorch was not installed; its tests are skipped (to try again: rm $@)"
	@touch $@

# Programs that a fit may be followed in; their tests are skipped without.  MLflow alone is as large as all the rest.
$(VENV)/trackers: pyproject.toml $(VENV)/tests
	@echo "installing TensorBoard, Optuna and the site's Sphinx, for their tests"
	@$(PIP) -e '.[tensorboard,optuna,docs]' || echo "they were not installed; their tests are skipped"
	@touch $@

$(VENV)/docs: pyproject.toml $(VENV)/installed
	@echo "installing what the documents are built with"
	@$(PIP) -e '.[docs,report]'
	@touch $@

$(VENV)/lint: pyproject.toml $(VENV)/installed
	@echo "installing ruff and mypy"
	@$(PIP) -e '.[lint]'
	@touch $@
