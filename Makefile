# From a fresh clone: `make demo`, `make test` (fast tests), `make check` (all that CI checks).
# Each sets up .venv once.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: demo test check style setup weights clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

weights: .venv/ready
	@$(BIN)/seehear models verify tags >/dev/null 2>&1 || $(BIN)/seehear models pull tags

demo: .venv/ready
	$(BIN)/seehear demo

test: weights
	$(PYTEST) -m "not slow"

check: style weights
	$(PYTEST) --durations=20

style: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

clean:
	rm -rf .venv seehear-demo
