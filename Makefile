# Every target makes the environment that it needs: `make demo` works on a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FRAMEWORKS := .frameworks/.ready
PYTEST := $(BIN)/python -m pytest
LONG := live kills browser interop faults frameworks docker
# Tests of a group that run at the same time; the others need the machine for themselves.
AT_ONCE_live := -n 2 --dist loadgroup
AT_ONCE_kills := -n 4
AT_ONCE_interop := -n 2
AT_ONCE_faults := -n 4
AT_ONCE_frameworks := -n 2

# Without its caches every process compiles Airflow anew, and the tests start thousands.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo ui test test-all $(LONG:%=test-%) lint bench constraints clean
.NOTPARALLEL:

help:
	@echo 'make demo      a retraining DAG in a real Airflow loses its machine and finishes all the same'
	@echo 'make ui        the same Airflow, left running for you to look at'
	@echo 'make test      the quick tests'
	@echo 'make test-all  the long ones: $(LONG:%=test-%)'
	@echo 'make lint      style, types and layers'
	@echo 'make bench     the figures'
	@echo 'make clean     remove everything that these targets made'

# uv is taken from the PATH, else installed into the environment by pip.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 14) and sys.implementation.name == "cpython"))' \
	  || { echo 'This project needs CPython 3.11 to 3.13; name one with `make PYTHON=python3.12 ...`.' >&2; exit 1; }
	@echo 'Setting up $(VENV)'
	@if test -x $(BIN)/python; then :; \
	  elif uv --version >/dev/null 2>&1; then \
	    uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); \
	  else \
	    $(PYTHON) -m venv $(VENV) \
	      || { echo 'Install uv, or the venv module of $(PYTHON) (Debian: apt-get install python3-venv).' >&2; exit 1; }; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv; \
	  fi
	@PATH="$(CURDIR)/$(BIN):$$PATH"; \
	  uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable . --group dev
	@touch $@

# What tests of frameworks start processes with: JAX and what belongs to it, without Airflow.
$(FRAMEWORKS): $(READY) pyproject.toml constraints.txt
	@echo 'Setting up .frameworks'
	@PATH="$(CURDIR)/$(BIN):$$PATH"; \
	  uv venv --quiet --allow-existing --python $(BIN)/python .frameworks && \
	  uv pip install --quiet --python .frameworks/bin/python --constraint constraints.txt --group frameworks
	@touch $@

test-frameworks: $(FRAMEWORKS)

# Newer versions: make constraints, then the tests.
constraints:
	uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --group dev --group frameworks pyproject.toml --output-file constraints.txt

demo: $(READY)
	@$(BIN)/python -m demo.run

ui: $(READY)
	@$(BIN)/python -m demo.ui

test: $(READY)
	$(PYTEST) -n 4 -m 'not (types or $(subst $() , or ,$(LONG)))'

test-all: $(LONG:%=test-%)

$(LONG:%=test-%): test-%: $(READY)
	@echo; echo '== Long tests: $* =='
	$(PYTEST) $(AT_ONCE_$*) -m $*

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q -m types tests/taskflow

bench: $(READY)
	@for script in benchmarks/*.py; do \
	  echo; echo "== $$script =="; $(BIN)/python "$$script" || exit 1; \
	done

clean:
	rm -rf $(VENV) .demo .frameworks .interop .test-all build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
