PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOG := $(VENV)/install.log
PYTEST := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 RAY_USAGE_STATS_ENABLED=0 $(BIN)/python -m pytest

# $(call install,WHAT): pip's chatter goes to the log, the end of it to the terminal when the installation fails.
install = $(BIN)/python -m pip install -c constraints.txt $(1) >>$(LOG) 2>&1 || { \
    tail -n 20 $(LOG); echo "The installation failed. The whole log is $(LOG)."; exit 1; }

.PHONY: help demo test slow browser lint clean

help:
	@echo "make demo   train and evaluate a tiny model on this machine"
	@echo "make test   the tests that need neither an accelerator nor the network"
	@echo "make slow   more of them: the same with other options, and larger"
	@echo "make browser   the report in chromium (apt-get install chromium)"
	@echo "make lint   format, lint and types"
	@echo "make clean  remove .venv and everything that was built"

demo: $(STAMP)
	@$(BIN)/clarify-rl run demo $(if $(wildcard runs/demo/config.yaml),--resume)

# The tests with a local Ray come one after another: two at a time would fight over its ports and the cores.
test: $(STAMP)
	@$(PYTEST) -n 2 --dist loadfile -m "not slow and not gpu and not ray and not browser"
	@$(PYTEST) -m "ray and not slow and not gpu"

slow: $(STAMP)
	@$(call install,-e '.[figures]')
	@$(PYTEST) -n 2 --dist loadfile -m "slow and not gpu and not ray"
	@$(PYTEST) -m "slow and ray and not gpu"

browser: $(STAMP)
	@command -v chromium >/dev/null || { echo "make browser needs chromium: apt-get install chromium"; exit 1; }
	@$(call install,playwright)
	@test -e $(VENV)/axe/package || { mkdir -p $(VENV)/axe && cd $(VENV)/axe && npm pack --silent axe-core@4 >/dev/null && tar xzf axe-core-*.tgz; }
	@$(PYTEST) -m browser

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
	@echo "Installing PyTorch (minutes the first time; progress is in $(LOG)) ..."
	@$(call install,torch)
	@echo "Installing clarify-rl and its other dependencies (minutes the first time) ..."
	@$(call install,-e '.[dev]')
	@touch $@
