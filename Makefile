# Every target makes its own .venv when there is none; it is made again when the packages change.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 2

.PHONY: help demo test test-all lint bench docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/demo  ## build a small scene, scan it, write demo-out/report.html
	@$(BIN)/verisight demo --out demo-out

test: .venv/dev  ## all tests but the slow ones
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadgroup

test-all: .venv/dev  ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup

lint: .venv/dev  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev  ## measure; prints JSON
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

docs: .venv/dev  ## build the pages into site/
	$(BIN)/mkdocs build --strict --quiet

clean:  ## remove the environment and what was built
	rm -rf .venv site demo-out runs build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Verisight needs Python 3.11 or newer; run: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv .venv

# Stamps: the environment holds what the target needs, at the versions of today's files.
.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[demo]'
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch .venv/demo $@
