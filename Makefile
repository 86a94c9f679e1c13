SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
PACKAGES := edge quantize models
CODE := $(PACKAGES) benchmarks tests .ci

# Versions stay where they are unless asked: make lock UPGRADE=--upgrade
UPGRADE ?=
LOCK := $(BIN)/uv pip compile --quiet $(UPGRADE) --python-version 3.11 \
	--python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" --excludes .ci/locks/excludes.in \
	--no-emit-package torch --no-emit-package llama-cpp-python

.PHONY: help
help:  ## Show what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

.PHONY: demo
demo:  ## Install what is missing, fetch the models, run the demo
	@.ci/setup run
	$(BIN)/headside demo

.PHONY: test
test:  ## Run the tests (needs no root, sets itself up)
	@.ci/setup dev
	$(BIN)/python -m pytest -m "not slow"

.PHONY: test-slow
test-slow:  ## Run what takes long: soak, kill loops, big models
	@.ci/setup dev
	$(BIN)/python -m pytest -m slow

.PHONY: check
check:  ## Check format, lint, types and import contracts
	@.ci/setup dev
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format:  ## Format the code and fix what ruff can fix
	@.ci/setup dev
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

.PHONY: bench
bench:  ## Run every benchmark; each prints one JSON object
	@.ci/setup dev
	@for bench in benchmarks/bench_*.py; do \
		echo "$$bench" >&2; \
		$(BIN)/python "$$bench" --json; \
	done

.PHONY: setup
setup:  ## Install everything into .venv, for development
	@.ci/setup dev

.PHONY: system-deps
system-deps:  ## Install the system packages the tests need (root)
	apt-get update
	sed 's/#.*//' apt.txt | xargs apt-get install --yes --no-install-recommends

.PHONY: lock
lock:  ## Write the lock files again (UPGRADE=--upgrade for new versions)
	@.ci/setup dev
	$(LOCK) --all-extras pyproject.toml -o .ci/locks/dev.txt
	$(LOCK) --constraint .ci/locks/dev.txt pyproject.toml .ci/locks/run.in \
		-o .ci/locks/run.txt
	$(LOCK) --constraint .ci/locks/dev.txt .ci/locks/build.in -o .ci/locks/build.txt

.PHONY: clean
clean:  ## Remove .venv and what tools left behind; the caches stay
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
