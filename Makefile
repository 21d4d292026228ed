# Every target makes its own .venv when there is none; packages are installed again when their lists change.
# Another interpreter: make test PYTHON=/path/to/python3.12
PYTHON ?= python3.11 python3.12 python3.13 python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 2

.PHONY: help demo test test-all lint bench docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/demo  ## build a small scene, scan it, write demo-out/report.html
	@$(BIN)/verisight demo --out demo-out

test: .venv/dev  ## all tests but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-all: .venv/dev  ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/dev  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev  ## measure; prints JSON
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit; done

docs: .venv/dev  ## build the pages into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:  ## remove the environment and what was built
	rm -rf .venv site demo-out runs build

# A name on the path may be a stub that runs nothing, so each is asked for its version. A venv without pip is none.
.venv/bin/pip:
	@for python in $(PYTHON); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    "$$python" -m venv --clear .venv && exit; rm -rf .venv; exit 1; \
	  fi; \
	done; \
	echo "Verisight needs Python 3.11 or newer (tried: $(PYTHON)); run: make PYTHON=/path/to/python3.11 ..." >&2; exit 2

# Stamps: the environment holds what the target needs, at the versions of today's files.
.venv/demo: pyproject.toml constraints.txt | .venv/bin/pip
	@echo "installing into .venv: a few minutes, once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

.venv/dev: pyproject.toml constraints.txt | .venv/bin/pip
	@echo "installing into .venv: a few minutes, once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch .venv/demo $@
