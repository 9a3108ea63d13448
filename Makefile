# `make demo` and `make test` are all a fresh machine needs: Python 3.11+, make, nothing else.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test up lint bench bench-lr-find bench-diagnosis clean

.venv/.runs: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Trainwright needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[worker]'
	@touch $@

.venv/.tests: .venv/.runs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[worker,dev]'
	@touch $@

.venv-bench/.done: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -e '.[worker,peers,dev]'
	@touch $@

setup: .venv/.tests

demo: .venv/.runs
	@$(BIN)/trainwright demo

test: .venv/.tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

up: .venv/.runs
	$(BIN)/trainwright up

lint: .venv/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv-bench/.done
	.venv-bench/bin/python -m benchmarks

bench-lr-find: .venv-bench/.done
	.venv-bench/bin/python -m benchmarks.lr_find_table

bench-diagnosis: .venv/.tests
	$(BIN)/python -m benchmarks.diagnosis

clean:
	rm -rf .venv .venv-bench build dist *.egg-info
