# Two commands from a fresh clone: `make table1` runs the embedded experiment, `make test` the tests.
PYTHON ?= $(firstword $(shell command -v python3.11 python3))
CORES ?= 1
VENV := .venv
PLUGINS := $(CURDIR)/$(VENV)/plugins
RELEASE := $(CURDIR)/$(VENV)/release
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: table1 paper test test-long test-all test-cluster test-release cluster-overhead bench docs style audit

table1: $(READY)
	snakemake --cores $(CORES) --resources gpu=1 -- results/tables/table1.csv
	@cat results/tables/table1.md

paper: $(READY)
	snakemake --cores $(CORES) --resources gpu=1 -- paper

# A file at a time for each process, as tests of one file share runs of the workflow.
test: $(READY) $(VENV)/.docs
	pytest -n 2 --dist loadfile

# Chains of many jobs, left out above.
test-long: $(READY) $(VENV)/.docs
	pytest -n 2 --dist loadfile -m "long and not slow"

test-all: $(READY) $(VENV)/.docs
	pytest -n 2 --dist loadfile -m "not release"

# Through a SLURM on this machine, which is installed where Debian's packages may be; a quarter of an hour.
test-cluster: $(VENV)/.plugins
	PYTHONPATH=$(PLUGINS) pytest -m cluster tests/cluster

# Wheel and sdist as others get them: checked, and each installed and used in an environment of its own; some minutes.
test-release: $(VENV)/.release
	pytest -m release tests/workflow

# Known vulnerabilities of all that the locks pin; asks the package index, and fails where that does not answer for a package.
audit: $(VENV)/.release
	set -e; for lock in requirements*.lock; do echo $$lock; \
		PYTHONPATH=$(RELEASE) python -m pip_audit --strict --disable-pip --no-deps --requirement $$lock; done

cluster-overhead: $(VENV)/.plugins
	PYTHONPATH=$(PLUGINS) python tests/cluster/overhead.py

# All sections beside their peers (an hour or two), or make bench SECTIONS="input evaluation".
bench: $(VENV)/.bench
	python -m benchmarks $(SECTIONS)

# The documentation as a site, in site/; a dead link is an error.
docs: $(VENV)/.docs
	mkdocs build --strict

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

$(VENV)/.docs: $(READY) requirements-docs.lock
	pip install --quiet --no-deps --requirement requirements-docs.lock
	touch $@

# Aside: snakemake loads every plugin that it finds at every start.
$(VENV)/.plugins: $(READY) requirements-slurm.lock requirements-kubernetes.lock
	rm -rf $(PLUGINS)
	pip install --quiet --no-deps --target $(PLUGINS) --requirement requirements-slurm.lock \
		--requirement requirements-kubernetes.lock
	touch $@

# Aside too: twine needs a later packaging than snakemake admits.
$(VENV)/.release: $(READY) requirements-release.lock
	rm -rf $(RELEASE)
	pip install --quiet --no-deps --target $(RELEASE) --requirement requirements-release.lock
	touch $@
