# What a person or a CI runs. Everything missing is brought first, said in a line each, by tools/setup.
.DEFAULT_GOAL := help
.PHONY: docs help conformance kind-conformance test test-kind mutants bench bench-quick bench-nightly lint types dist dist-test publish publish-image publish-manifests kind-engine kind-engine-stop
.PHONY: kind-image reference-image clean setup setup-lab setup-test setup-bench
BIN := .venv/bin
RUN_ARGS ?=
BENCH_ARGS ?=
IMAGE ?=
TAG ?=

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 26

conformance: setup-lab ## boot a cluster, install the reference, judge it, write the report
	@$(BIN)/lbproof run $(RUN_ARGS)

kind-conformance: setup ## the same on a cluster of containers by kind; builds the images that cannot be pulled
	@tools/with-engine tools/kind-conformance $(RUN_ARGS)

test: setup-test ## the project's own tests: lint, types, pytest, mutants; what needs kind is make test-kind
	@tools/stage lint $(MAKE) --no-print-directory lint
	@tools/stage types $(MAKE) --no-print-directory types
	@tools/tests $(PYTEST_ARGS)
	@$(if $(PYTEST_ARGS),true,tools/stage mutants $(BIN)/python -m pytest tests/mutants --due)

test-kind: setup-test ## the tests on clusters by kind, where a Docker engine can be had
	@tools/with-engine --or-without tools/test-kind $(PYTEST_ARGS)

mutants: setup-lab ## each mutant against the checks that must catch it; writes docs/findings/mutants.csv
	@tools/stage mutants $(BIN)/python -m pytest tests/mutants --write-matrix

bench: setup-bench ## outages, moves, allocation, scale, ARP and load of the reference and MetalLB side by side: about an hour
	@tools/stage bench $(BIN)/lbproof bench all --thresholds perf/thresholds.toml $(BENCH_ARGS)

bench-quick: setup-bench ## the same with few repetitions, to see that it works: under five minutes
	@tools/stage bench-quick $(BIN)/lbproof bench all --size quick $(BENCH_ARGS)

bench-nightly: setup-bench ## the same with many
	@tools/stage bench-nightly $(BIN)/lbproof bench all --size nightly $(BENCH_ARGS)

lint: setup ## ruff with every rule, import-linter, codespell, shellcheck
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/codespell $$(git ls-files)
	@$(BIN)/shellcheck $$(git grep -lE '^#!/(bin/|usr/bin/env )(ba)?sh')

types: setup ## mypy --strict, and pyright --verifytypes on the protocols that vendors write against
	@$(BIN)/mypy
	@$(BIN)/python tools/verify_types.py

docs: setup ## the documentation's site into build/docs/html; a broken link inside it is an error
	@$(BIN)/python -m docs.site.build

dist: setup ## the wheel and the source archive of this checkout, into dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build --directory dist

dist-test: ## judge the reference with the wheel in dist/, installed apart from this checkout
	@tools/setup lab
	@tools/stage dist-test tools/dist-test

publish: ## sign what is in dist/ and upload it to PyPI, in a workflow that PyPI trusts
	@tools/publish/publish

publish-image: ## push the reference's image of the wheel in dist/ on its pinned base as IMAGE, write manifests that name its digest
	@WHEEL="$(wildcard dist/*.whl)" BASE="$$(sed -n 's/^ARG BASE=//p' reference/image/Dockerfile)" reference/image/build "$(IMAGE)"
	@tools/publish/image "$(IMAGE)"

publish-manifests: ## attach these manifests to the release of TAG on GitHub
	@tools/publish/attach "$(TAG)"

kind-engine: ## start a Docker engine for kind where there is none; prints the line that sets DOCKER_HOST
	@kind-configs/engine/engine start

kind-engine-stop: ## remove it and all that runs in it; its images stay in the cache
	@kind-configs/engine/engine stop

kind-image: ## build kind's node image from packages and modules, into the engine at DOCKER_HOST
	@kind-configs/node-image/build

reference-image: ## build the reference's image into the engine at DOCKER_HOST
	@reference/image/build

clean: ## remove what was made in this checkout (the cache of components stays)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@tools/setup

setup-lab:
	@tools/setup lab

setup-test:
	@tools/setup test

setup-bench:
	@tools/setup bench
