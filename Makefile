# Two commands from a fresh clone: `make table1` runs the embedded experiment, `make test` the tests.
PYTHON ?= $(firstword $(shell command -v python3.11 python3))
CORES ?= 1
VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: table1 paper test test-all bench style

table1: $(READY)
	snakemake --cores $(CORES) --resources gpu=1 -- results/tables/table1.csv
	@cat results/tables/table1.md

paper: $(READY)
	snakemake --cores $(CORES) --resources gpu=1 -- paper

test: $(READY)
	pytest

test-all: $(READY)
	pytest -m "slow or not slow"

# All sections beside their peers (an hour or two), or make bench SECTIONS="input evaluation".
bench: $(VENV)/.bench
	python -m benchmarks $(SECTIONS)

style: $(READY)
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow/Snakefile rules

$(READY): requirements.lock requirements-examples.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	pip install --quiet --requirement requirements.lock
	pip install --quiet --no-deps --requirement requirements-examples.lock
	pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/.bench: $(READY) requirements-benchmarks.lock
	pip install --quiet --no-deps --requirement requirements-benchmarks.lock
	touch $@
