# Every target sets up .venv by itself, once for each change of pyproject.toml or constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test slow explore lint format bench gpu slurm parity recipes tables choose readable docs dist docker clean
.DEFAULT_GOAL := help

help:  ## say what each target does
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1	\2/' | expand -t 16

demo: $(READY)  ## pre-train a masked autoencoder on scanned digits, judge its features, draw its reconstructions
	$(BIN)/python train.py

test: $(READY)  ## run the tests, in a process for each core (four at most)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

slow: $(READY)  ## run the checks that repeat those of `make test` in more settings (about as long again)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m slow

explore: $(READY)  ## draw other and many more examples for the tests of properties
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m hypothesis --hypothesis-profile explore

lint: $(READY)  ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)  ## put code into its format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## compare with other libraries all that a CPU can (installs them): a page in benchmarks/results; MIM_DATA names pictures
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/bench.py --data $${MIM_DATA:-data}

gpu: $(READY)  ## run what needs a GPU, on a GPU: published numbers, kernels, compiling, whole runs (about two minutes)
	$(BIN)/python -m pytest -m gpu tests/gpu

slurm: $(READY)  ## run the scripts for SLURM on two nodes that it starts here (as root, with Debian's slurm-wlm and munge)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[slurm]'
	$(BIN)/python -m pytest -m slurm tests/slurm

parity: $(READY)  ## hold everything against the published implementations' numbers, those in MIM_GOLDEN if it names a folder
	$(BIN)/python -m pytest -m "parity and not gpu"

recipes: $(READY)  ## change every setting of every experiment, one at a time: the recipes must notice (about an hour)
	$(BIN)/python -m pytest -m recipes tests/recipes

tables: $(READY)  ## write docs/tables.md: what papers print, what was measured, and the commands
	$(BIN)/python -m mim tables > docs/tables.md

choose: $(READY)  ## write docs/choose.md: every choice of every config group
	$(BIN)/python docs/choose.py > docs/choose.md

readable: $(READY)  ## write the table of docs/weights.md: which models of timm are an encoder as they are
	$(BIN)/python docs/readable.py

docs: choose readable  ## build the site into site/
	$(BIN)/pip install --quiet 'mkdocs>=1.6'
	$(BIN)/mkdocs build --strict

dist: $(READY)  ## build wheel and sdist into dist/
	$(BIN)/pip install --quiet 'build>=1.2'
	rm -rf dist
	$(BIN)/python -m build

docker:  ## build an image for a GPU machine; how to run it stands in Dockerfile
	docker build -t mim .

clean:  ## remove .venv and caches; runs and data stay
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mim needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@
