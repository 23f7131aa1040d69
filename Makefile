VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test lint type bench soak
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## make the virtual environment
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(STAMP) ## the default face speaks a recording over a real call: out/demo.mp4 and its report
	$(BIN)/talkface demo --output out/demo.mp4 --report out/demo.json --html out/demo.html

test: $(STAMP) ## every test but the soak
	$(BIN)/python -m pytest -m "not soak"

lint: $(STAMP) ## ruff: style and import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP) ## mypy
	$(BIN)/mypy

soak: $(STAMP) ## a call of 15 minutes with a 100 ppm clock difference
	$(BIN)/python -m pytest -m soak -s

bench: $(STAMP) ## what is fast and slow here: benchmarks/performance.json, docs/performance.md; 10 minutes
	$(BIN)/python -m benchmarks
