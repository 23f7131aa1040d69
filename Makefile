VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The tools of lock, sbom and audit have an environment of their own: what they need is none of Talkface's business.
TOOLS := $(VENV)/tools
TOOLS_STAMP := $(TOOLS)/.installed

# Where every package of the lock has a wheel; `make lock` asks for each of these Pythons.
LOCK_PYTHONS := 3.11 3.12 3.13 3.14
LOCK_PLATFORM := x86_64-manylinux_2_31
LOCK_FITS = import platform as p, sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 15) \
	and (p.python_implementation(), p.system(), p.machine(), p.libc_ver()[0]) == ("CPython", "Linux", "x86_64", "glibc")))
COMPILE = $(TOOLS)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"

.PHONY: help install lock demo test lint type bench soak wheel check-wheel sbom audit
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## make the virtual environment, from the lock where it fits
$(STAMP): pyproject.toml requirements/start.txt requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/start.txt
	@if $(BIN)/python -c '$(LOCK_FITS)'; then set -ex; \
		$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt; \
		PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	else \
		echo "requirements/dev.txt is for CPython $(LOCK_PYTHONS) on Linux, x86_64, glibc: installing within" \
			"the bounds of pyproject.toml instead, without hashes"; set -ex; \
		$(BIN)/python -m pip install --quiet --editable '.[dev]'; \
	fi
	touch $@

$(TOOLS_STAMP): requirements/start.txt requirements/tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --require-hashes --requirement requirements/start.txt
	$(TOOLS)/bin/python -m pip install --quiet --require-hashes --requirement requirements/tools.txt
	touch $@

lock: $(TOOLS_STAMP) ## make requirements/ anew: the newest versions within pyproject.toml's bounds, with hashes
	$(COMPILE) pyproject.toml --extra dev --group start --output-file requirements/dev.txt
	$(COMPILE) --group start --constraints requirements/dev.txt --output-file requirements/start.txt
	$(COMPILE) --group tools --constraints requirements/dev.txt --output-file requirements/tools.txt
	for python in $(LOCK_PYTHONS); do $(TOOLS)/bin/uv pip compile --quiet --only-binary :all: --python-version $$python \
		--python-platform $(LOCK_PLATFORM) --output-file /dev/null requirements/dev.txt || exit 1; done

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

wheel: $(STAMP) ## build dist/talkface-*.whl
	$(BIN)/python tools/build_wheel.py dist

check-wheel: $(STAMP) ## the wheel, alone with what it asks for in an empty environment, gives a demo
	$(BIN)/python tools/check_wheel.py

sbom: $(STAMP) $(TOOLS_STAMP) ## out/sbom.json: what a call runs on and the weights that ship, in CycloneDX
	$(TOOLS)/bin/python tools/sbom.py --python $(BIN)/python --output out/sbom.json

audit: $(TOOLS_STAMP) ## look the lock up in the public advisories; error 1: something found, 3: cannot be reached
	@$(TOOLS)/bin/python tools/audit.py requirements/dev.txt requirements/tools.txt
