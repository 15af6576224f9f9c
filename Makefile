PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet --log $(VENV)/install.log -c constraints.txt
PYTEST := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 RAY_USAGE_STATS_ENABLED=0 $(BIN)/python -m pytest

.PHONY: help demo test lint clean

help:
	@echo "make demo   train and evaluate a tiny model on this machine"
	@echo "make test   the tests that need neither an accelerator nor the network"
	@echo "make lint   format, lint and types"
	@echo "make clean  remove .venv and everything that was built"

demo: $(STAMP)
	@$(BIN)/clarify-rl run demo

# The tests with a local Ray run alone: two of them at once would share its ports and the few cores.
test: $(STAMP)
	@$(PYTEST) -n 2 -m "not slow and not gpu and not ray"
	@$(PYTEST) -m "ray and not slow and not gpu"

lint: $(STAMP)
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "clarify-rl needs Python 3.11 or newer; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)."; \
	    echo "Name a newer one, e.g.: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || { echo "Creating $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing PyTorch (several minutes the first time; log: $(VENV)/install.log) ..."
	@$(PIP) torch
	@echo "Installing clarify-rl and its other dependencies (several minutes the first time) ..."
	@$(PIP) -e '.[dev]'
	@touch $@
