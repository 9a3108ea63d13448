# `make demo` and `make test` are all a fresh machine needs: Python 3.11+, make, nothing else.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := -m pip install --quiet --disable-pip-version-check

.PHONY: setup demo test test-fast faults contract up lint bench bench-lr-find bench-diagnosis constraints clean

.venv/.runs: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Trainwright needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) -c constraints.txt -e '.[worker]'
	@touch $@

.venv/.tests: .venv/.runs
	$(BIN)/python $(INSTALL) -c constraints.txt -e '.[worker,dev]'
	@touch $@

.venv-bench/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python $(INSTALL) -c constraints.txt -e '.[worker,peers,dev]'
	@touch $@

setup: .venv/.tests

demo: .venv/.runs
	@$(BIN)/trainwright demo

test: .venv/.tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Specs, their resolution, the rules, the use cases and the documentation: nothing that trains for long.
FAST := $(addprefix tests/service/,catalog specs resolution diagnosis jobs) tests/test_architecture.py tests/test_docs.py
test-fast: .venv/.tests
	$(BIN)/python -m pytest -n 2 --dist loadfile $(FAST) --ignore tests/service/diagnosis/test_suite.py

# Random faults on running services: each once, or TRIALS=200 of them on each home in turn, which goes on where its
# journal in .faults/ ends.
faults: .venv/.tests
	$(BIN)/python -m tests.faults.campaign $(if $(TRIALS),--trials $(TRIALS))

# Thirty drawn requests an operation and every check of Schemathesis, without keys and with them.
contract: .venv/.tests
	$(BIN)/python -m tests.service.api.contract

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

# The newest versions that pyproject.toml allows, names and versions only (a build of torch has a suffix of its own).
constraints:
	$(PYTHON) -m venv --clear .venv-constraints
	.venv-constraints/bin/python $(INSTALL) -e '.[worker,peers,dev]'
	.venv-constraints/bin/python -m pip freeze --exclude trainwright \
	  | sed -n 's/^\([A-Za-z0-9._-]*==[^+ ]*\).*/\1/p' | LC_ALL=C sort -f > constraints.txt
	rm -rf .venv-constraints

clean:
	rm -rf .venv .venv-bench .venv-constraints build dist *.egg-info
