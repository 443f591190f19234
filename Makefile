# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONPATH :=

.PHONY: install demo test lint unit slow clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "danil needs Python 3.11 or newer (try PYTHON=python3.11)"; exit 1)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[offline,dicom,dev]'
	touch .venv/installed

demo: install
	$(BIN)/danil demo --out runs/demo --overwrite

test: lint unit slow

lint: install
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright --warnings src

unit: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not slow" --doctest-modules src tests

slow: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m slow

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
