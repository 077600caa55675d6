# make demo   sets up, runs the workflow on text that is already on this machine, ends with a report to open
# make quick  sets up, runs the fast tests
# make test   sets up, runs all tests; ARGS=tests/training runs some
# make check  format, lint, types, generated schema, layers of imports
# make example  the workflow on the smallest study (.test/), with Snakemake's report of it
# make upgrade  renews the pinned versions and prints what changed
# make chaos  kills every phase at random moments and compares what comes out (tests/support/chaos.py);
#             ARGS="--scale 1 --kills 1000 --minutes 60" does so with 3.6 million rows
# make rehearsal SCALE=0.01  the paper's study on made-up archives; goes on where it stopped (tests/support/rehearsal.py)
# make screenshots STUDY=results/demo   the README's pictures of a study's report
PYTHON ?= $(firstword $(shell command -v python3.11 python3))
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo quick test check example upgrade chaos rehearsal screenshots
.NOTPARALLEL:

demo: .venv/installed
	snakemake --cores all --resources gpu=1 --configfile config/demo.yaml
	@sed "/^## The paper's datasets/,\$$d" results/demo/table.md
	@echo "The report: $(CURDIR)/results/demo/report.html"
	@echo "A text of your own: source .venv/bin/activate"
	@echo "    crepe predict results/demo/runs/docstrings/ngrams-tfidf/0 'Return a new tensor.'"

quick: .venv/installed
	pytest -n auto --dist loadfile -m "not slow" $(ARGS)

test: .venv/installed
	pytest -n auto --dist loadfile $(ARGS)

check: .venv/installed
	ruff format --check .
	ruff check .
	mypy
	python -m crepe.config.schema --check
	lint-imports
	snakefmt --check Snakefile workflow
	snakemake --lint

EXAMPLE := snakemake --directory .test --cores 2 --configfile config/demo.yaml .test/config.yaml
example: .venv/installed
	$(EXAMPLE)
	$(EXAMPLE) --report results/snakemake.html

upgrade: .venv/installed
	python .ci/upgrade.py

chaos: .venv/installed
	python -m tests.support.chaos $(ARGS)

rehearsal: .venv/installed
	python -m tests.support.rehearsal --scale $(or $(SCALE),0.01) $(ARGS)

screenshots: .venv/installed
	python docs/screenshots.py $(or $(STUDY),results/demo)

.venv/installed: constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	@echo "Setting up .venv; this takes two to three minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[workflow,tools,dev]'
	touch $@
