# Forekeep. `make help` lists the targets; each sets up what it needs (the second time: nothing).
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The newest-enough Python on this machine; PYTHON=… chooses another one.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$name && break; done)
RUN := .venv/bin/python

.PHONY: help up demo test bench lint format clean setup setup-dev

help: ## List the targets
	@echo "Forekeep, a self-hosted keeper network."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

up: setup ## Run everything in the foreground; Ctrl-C stops it
	@FOREKEEP_STOPS_WITH_PARENT=1 exec $(RUN) -m project.embedded.up

demo: setup ## Run the example jobs to their end in a scratch folder, a minute or two; report in var/demo
	@FOREKEEP_STOPS_WITH_PARENT=1 exec $(RUN) -m project.embedded.demo

test: setup-dev ## Lint, types, import contracts, all tests (and again on PostgreSQL + Redis where given)
	@$(RUN) -m project.embedded.checks

bench: setup-dev ## Measure throughput and latency
	@$(RUN) -m bench

lint: setup-dev ## Lint, types and import contracts only
	@$(RUN) -m project.embedded.checks --no-tests

format: setup-dev ## Let ruff format and sort
	@$(RUN) -m ruff check --fix . && $(RUN) -m ruff format .

clean: ## Remove what the other targets made; the deployment in var/ stays
	rm -rf .venv node_modules static var/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: have-python
	@$(PYTHON) project/embedded/install.py

setup-dev: have-python
	@$(PYTHON) project/embedded/install.py --dev

.PHONY: have-python
have-python:
	@if [ "$$($(or $(PYTHON),false) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)" != True ]; then \
		echo "Forekeep needs Python 3.11 or later; '$(PYTHON)' is not one (python3: $$(python3 --version 2>&1 || true))." >&2; \
		echo "On Debian or Ubuntu: apt install python3 python3-venv. Or name one: make up PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	fi
