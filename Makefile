# Roundtrip needs Python 3.11, make and a package index. Everything else is installed into .venv.
PYTHON ?= python3.11
VENV ?= .venv
# On a machine with an NVIDIA GPU: requirements/gpu.txt
LOCK ?= requirements/cpu.txt
# of tests at once: one more than cores, because many tests wait
PROCESSES ?= $(shell expr $$(nproc) + 1)
NAME ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test mutants lint docs bench reproduce assets

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 14

setup: ## install everything into .venv (nothing is done if the lock has not changed)
	@$(PYTHON) requirements/install.py $(VENV) $(LOCK)

demo: setup ## run one whole round in the embedded world
	@$(VENV)/bin/python factory/run_round.py --round 1 $(ARGS)

lint: setup ## run ruff and mypy
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy

test: lint ## lint, then run all tests; ARGS='-k store' runs a part of them
	@$(PYTHON) requirements/install.py $(VENV) requirements/browser.txt requirements/docs.txt requirements/manifests.txt requirements/metadata.txt requirements/trackers.txt
	@$(VENV)/bin/python -m pytest --numprocesses $(PROCESSES) --max-worker-restart 0 --dist loadfile --no-loadscope-reorder $(ARGS)

mutants: setup ## change the code in small ways and count the changes that the fast tests notice (continues where it stopped)
	@$(VENV)/bin/python tests/mutants.py $(ARGS)

docs: setup ## write the recipe reference and build the documentation into build/docs
	@$(PYTHON) requirements/install.py $(VENV) requirements/docs.txt
	@$(VENV)/bin/python docs/reference.py
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict
	@echo "open build/docs/index.html"

bench: setup ## run one benchmark: make bench NAME=x ARGS='...'
	@test -f benchmarks/$(NAME).py || { echo "benchmarks: $$(ls benchmarks | sed -n 's/\.py$$//p' | tr '\n' ' ')"; exit 2; }
	@$(VENV)/bin/python benchmarks/$(NAME).py $(ARGS)

reproduce: setup ## make the paper's tables in small (about 10 hours; continues after a stop)
	@$(VENV)/bin/python benchmarks/reproduce.py $(ARGS)

assets: setup ## synthesise the embedded corpus and train on it again (hours)
	@$(PYTHON) requirements/install.py $(VENV) requirements/assets.txt
	@$(VENV)/bin/python -m assets.build $(ARGS)
