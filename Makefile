# `make up` installs everything that is missing. STACK selects the stack (Pulumi.<STACK>.yaml).
STACK ?= local
PYTHON ?= python3
TIER ?=
# Recipes read STACK from the environment: no shell splits or runs what stands in it.
export STACK

.DEFAULT_GOAL := help
.PHONY: help up preview down verify chat keys test lint preflight compat env clean lock docs vllm-tables

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { gsub(/\$$\$$/, "$$", $$2); printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: python ## create or update the stack: on this computer by default, else STACK=dev, staging or prod
	@$(PYTHON) -m tools.cli up "$$STACK"

preview: python ## show what `make up` would change; changes nothing
	@$(PYTHON) -m tools.cli preview "$$STACK"

down: python ## destroy the stack; stack local leaves no process and no file
	@$(PYTHON) -m tools.cli down "$$STACK"

verify: python ## compare the running stack with what the last `make up` declared; changes nothing
	@$(PYTHON) -m tools.cli verify "$$STACK"

chat: python ## chat with the model of the running stack; Ctrl-C stops an answer, Ctrl-D ends
	@$(PYTHON) -m tools.cli chat "$$STACK"

keys: python ## list the API keys of STACK; ADD=NAME makes one and prints it, REVOKE=NAME removes one
	@$(PYTHON) -m tools.cli keys $(STACK)

preflight: python ## check what an `up` of STACK=dev, staging or prod needs: tools, permissions, quota, reservations
	@$(PYTHON) -m tools.dev preflight "$$STACK"

test: python ## run every tier that needs no node, or TIER=unit, engine, cluster, serving, models, examples, or a node tier (README.md)
	@$(PYTHON) -m tests.run $(TIER)

lint: python ## run ruff and pyright, and count the lines of product, tests and rehearsal
	@$(PYTHON) -m tools.dev lint
	@$(PYTHON) -m tests.size

compat: python ## list what does not work with the pinned Ray, or with RAY=2.57.1
	@$(PYTHON) -m tools.dev compat $(RAY)

env: python ## print the variables that a shell needs to run `pulumi` itself: eval "$$(make -s env)"
	@$(PYTHON) -m tools.cli env "$$STACK"

clean: python ## destroy stack local, then remove .venv, .venv-ray and .state
	@$(PYTHON) -m tools.cli clean

docs: python ## write the pages of docs/reference that are generated from the code
	@$(PYTHON) -m tools.dev docs

lock: python ## resolve the dependency groups of pyproject.toml into locks/
	@$(PYTHON) -m tools.dev lock

vllm-tables: python ## read the engine arguments of the vLLM of every accepted Ray version into config/vllm/
	@$(PYTHON) -m tools.dev vllm-tables

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "This project needs Python 3.11 or newer, and $(PYTHON) is older. Run make PYTHON=python3.11 (or newer)."; exit 1; }
