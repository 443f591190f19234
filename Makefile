# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONPATH :=

.PHONY: install demo test lint unit slow lowest clean

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

lowest: install # the unit tests on the lowest versions that pyproject.toml allows, in an environment of their own
	$(PYTHON) -m venv --clear .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest --resolution lowest-direct --editable '.[offline,dicom,dev]'
	OMP_NUM_THREADS=1 .venv-lowest/bin/pytest -n 2 -m "not slow" -W ignore -p no:cacheprovider tests

clean:
	rm -rf .venv .venv-lowest build dist .pytest_cache .ruff_cache .hypothesis
