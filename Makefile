# Everything a fresh machine needs is done by any of these targets; a second run sets nothing up again.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format docs bench clean

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "no '$(PYTHON)' found; install Python 3.11 or newer, or say: make PYTHON=/path/to/python"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; say: make PYTHON=/path/to/a/newer/python"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## the main job, on a study it simulates: about four minutes on two cores
	$(BIN)/murine demo demo --force

test: $(READY)  ## the default test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not gpu and not browser and not cluster"

test-all: $(READY)  ## every test this machine can run
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not gpu"

check: $(READY)  ## lint, format, types, spelling, the house rules, the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell src tests docs benchmarks recipes README.md CONTRIBUTING.md CHANGELOG.md
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/test_house.py
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

format: $(READY)  ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## docs/_build/html, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(READY)  ## speed and memory, with the floor beside each figure
	$(BIN)/python -m benchmarks

clean:  ## remove what the targets made
	rm -rf $(VENV) demo docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
