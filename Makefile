# The front door. `make up` on a fresh machine does everything; STACK picks the environment (Pulumi.<STACK>.yaml).
STACK ?= local
PYTHON ?= python3
TIER ?=

.DEFAULT_GOAL := help
.PHONY: help up preview down verify test lint check compat env clean lock docs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: python ## stand the stack up: on this computer by default, else STACK=dev, staging or prod
	@$(PYTHON) -m tools.cli up $(STACK)

preview: python ## show what `make up` would change, and change nothing
	@$(PYTHON) -m tools.cli preview $(STACK)

down: python ## take the stack down; on this computer no process and no file is left
	@$(PYTHON) -m tools.cli down $(STACK)

verify: python ## ask what runs whether it is what the last `make up` declared; changes nothing
	@$(PYTHON) -m tools.cli verify $(STACK)

test: python ## all that needs no node; TIER=unit, engine, cluster, serving, or one on a node (README.md)
	@$(PYTHON) -m tools.dev test $(TIER)

lint: python ## ruff and pyright, and how many lines product and rig have
	@$(PYTHON) -m tools.dev lint

check: python ## what an `up` of STACK=dev, staging or prod will need: tools, rights, quota, reservations
	@$(PYTHON) -m tools.dev preflight $(STACK)

compat: python ## which versions and options do not work together, for the versions pinned now
	@$(PYTHON) -m tools.dev compat

env: python ## print what a shell needs to call `pulumi` itself: eval "$$(make -s env)"
	@$(PYTHON) -m tools.cli env $(STACK)

clean: python ## take stack local down and remove what running has made in the checkout
	@$(PYTHON) -m tools.cli clean

docs: python ## write the pages of docs/ that are generated from the code
	@$(PYTHON) -m tools.dev docs

lock: python ## resolve pyproject.toml again into locks/
	@$(PYTHON) -m tools.dev lock

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "This needs Python 3.11 or newer; $(PYTHON) is older. Run make PYTHON=python3.11 (or another)."; exit 1; }
