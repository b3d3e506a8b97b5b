# Roundtrip: needs Python 3.11, make and a package index; everything else goes into .venv.
PYTHON ?= python3.11
VENV ?= .venv
# requirements/gpu.txt on a machine with an NVIDIA GPU
LOCK ?= requirements/cpu.txt
NAME ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test mutants lint bench reproduce assets

help: ## say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 14

setup: ## install everything into .venv (skipped when the lock has not changed)
	@$(PYTHON) requirements/install.py $(VENV) $(LOCK)

demo: setup ## one whole round in the embedded world
	@$(VENV)/bin/python factory/run_round.py --round 1 $(ARGS)

lint: setup ## ruff and mypy
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy

test: lint ## lint, then all tests; ARGS='-k store' for some of them
	@$(PYTHON) requirements/install.py $(VENV) requirements/browser.txt requirements/manifests.txt
	@$(VENV)/bin/python -m pytest --numprocesses 2 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder $(ARGS)

mutants: setup ## mutation tests: do the fast tests notice small changes of the code? (continues where it was)
	@$(VENV)/bin/python tests/mutants.py $(ARGS)

bench: setup ## one benchmark: make bench NAME=x ARGS='...'
	@test -f benchmarks/$(NAME).py || { echo "benchmarks: $$(ls benchmarks | sed -n 's/\.py$$//p' | tr '\n' ' ')"; exit 2; }
	@$(VENV)/bin/python benchmarks/$(NAME).py $(ARGS)

reproduce: setup ## the paper's tables in small (hours; goes on where it was)
	@$(VENV)/bin/python benchmarks/reproduce.py $(ARGS)

assets: setup ## speak the embedded corpus again and train on it (hours)
	@$(PYTHON) requirements/install.py $(VENV) requirements/assets.txt
	@$(VENV)/bin/python -m assets.build $(ARGS)
