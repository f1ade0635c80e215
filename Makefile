# What a person or a CI runs. Everything missing is brought first, said in a line each, by tools/setup.
.DEFAULT_GOAL := help
.PHONY: help conformance test lint types kind-engine kind-engine-stop kind-image clean setup setup-lab
BIN := .venv/bin
RUN_ARGS ?=

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 26

conformance: setup-lab ## boot a cluster, install the reference, judge it, write the report
	@$(BIN)/lbproof run $(RUN_ARGS)

test: setup-lab ## all of the project's own tests: lint, types, pytest
	@tools/stage lint $(MAKE) --no-print-directory lint
	@tools/stage types $(MAKE) --no-print-directory types
	@tools/stage pytest $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: setup ## ruff with every rule, import-linter, codespell
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/codespell $$(git ls-files)

types: setup ## mypy --strict
	@$(BIN)/mypy

kind-engine: ## start a Docker engine for kind where there is none; prints the line that sets DOCKER_HOST
	@kind-configs/engine/engine start

kind-engine-stop: ## remove it and all that runs in it; its images stay in the cache
	@kind-configs/engine/engine stop

kind-image: ## build kind's node image from packages and modules, into the engine at DOCKER_HOST
	@kind-configs/node-image/build

clean: ## remove what was made in this checkout (the cache of components stays)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@tools/setup

setup-lab:
	@tools/setup lab
