# Two commands do it all:  make demo   make test
# Both set up .venv from the pinned versions in constraints.txt and build the compiled core.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
# The build runs with the pinned setuptools and cffi, not with whatever is newest today.
PIPFLAGS := --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: setup demo test lint types docs conformance clean

setup: $(STAMP)

# What setup.py compiles: after a change of it the old library would still be the one that runs.
COMPILED := agent/core/build.py agent/goose/inbox_build.py $(wildcard agent/goose/*.py agent/logic/*.py simulator/*.py simulator/virtual/*.py) \
            $(filter-out agent/core/_core.c agent/goose/_inbox.c,$(wildcard agent/core/*.[ch] agent/goose/*.[ch]))

$(STAMP): pyproject.toml setup.py constraints.txt $(COMPILED)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIPFLAGS) setuptools cffi mypy
	find agent simulator -name '*.so' -delete
	$(BIN)/pip install $(PIPFLAGS) --no-build-isolation --editable '.[test]'
	$(BIN)/python -m compileall -q agent scl simulator benchmarks
	touch $(STAMP)

demo: setup
	$(BIN)/flisr demo

test: setup
	$(BIN)/pytest $(PYTESTFLAGS) -n 2 --dist loadgroup -m "not alone"
	$(BIN)/pytest $(PYTESTFLAGS) -m alone

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# The commands that README and docs/ show, long ones left out.
docs: setup
	$(BIN)/python tests/docs_commands.py

# Plays every case of conformance and writes what came of it: docs/reference/{conformance,pics,pixit,mics,tics}.md.
conformance: setup
	$(BIN)/python -m tests.conformance.document

clean:
	rm -rf $(VENV) build *.egg-info agent/core/_core.c agent/goose/_inbox.c agent/core/*.so agent/goose/*.so
