# Needs Python >= 3.11 with its headers, a C compiler with OpenMP, and make. Everything lands in .venv and build/.
#   make demo    build, generate a seeded shop, train on it, recommend
#   make test    linter, types, tests (what needs an absent data set is skipped and counted)
#   make slow    the long tests, and the kernels under bounds checks, sanitizers and other instruction sets

VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
# `make test EXTRAS=dev,train` also runs what needs PyTorch; without it that is skipped, counted and printed.
EXTRAS ?= dev

# The first Python that can make a virtual environment and compile an extension.
FITS := import sys, sysconfig, os, ensurepip, venv; \
	sys.exit(not (sys.version_info >= (3, 11) and os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	if $$p -c '$(FITS)' >/dev/null 2>&1; then echo $$p; break; fi; done)

# What an installation is made of. The install is editable, so Python and SQL sources need no entry here.
BUILT_FROM := pyproject.toml setup.py MANIFEST.in $(wildcard _native/*.pyx _native/*.pxd _native/*.h)

.PHONY: demo test lint types slow test-checked test-sanitized test-portable test-plain bench build clean

demo: $(VENV)/.demo
	$(BIN)/recengine demo

test: lint types
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: $(VENV)/.dev
	$(BIN)/python -m ruff check .

types: $(VENV)/.dev
	$(BIN)/python -m mypy

slow: test-checked test-sanitized test-portable test-plain
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest -m slow

test-checked test-sanitized test-portable test-plain: test-%: $(VENV)/.dev
	$(BIN)/python -m tests.variant $*

# One small run of every bench; `python -m bench.NAME --json` is the real figure.
bench: $(VENV)/.dev
	@for f in bench/*.py; do n=$$(basename $$f .py); case $$n in __init__|harness|data|shops|load|rivals|swaps|vectors|worker) continue;; esac; \
	echo "== $$n"; $(BIN)/python -m bench.$$n --small --json || exit 1; done

build: $(VENV)/.dev
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis _native/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 with venv, ensurepip and Python.h found; set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# `dev` contains what `demo` needs, so both may share one environment; each stamp stands for its own extra.
$(VENV)/.demo: $(BUILT_FROM) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[demo]"
	@touch $@

$(VENV)/.dev: $(BUILT_FROM) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRAS)]"
	@touch $@ $(VENV)/.demo
