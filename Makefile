# `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Two at a time, a file's tests one after another
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile
export PIP_ROOT_USER_ACTION := ignore

help:            ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group test --group lint
	@touch $@

setup: $(VENV)/.ready   ## a virtual environment with everything in .venv

demo: setup      ## the main job: a task done over the real interpreter (a recorded conversation where no model is configured)
	$(BIN)/codeact

check: setup     ## format, lint, types and the fast tests
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(PYTEST) --ignore tests/attacks

test: setup      ## lint, types and every test but the slow ones
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(PYTEST)

slow: setup      ## the slow tests: every identity and level of the attack suite
	$(BIN)/python -m pytest -q -m slow

bench: setup     ## our speed: the interpreter beside Jupyter's, the agent, the service, the chat
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python benchmarks/interpreter.py
	$(BIN)/python benchmarks/agent.py
	$(BIN)/python benchmarks/service.py
	$(BIN)/python benchmarks/serve.py
	$(BIN)/python benchmarks/eval.py

fix: setup       ## repair what ruff can
	$(BIN)/ruff check --fix src tests benchmarks

.PHONY: help setup demo check test slow bench fix
