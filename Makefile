# tanuki.ipsec: `make help` lists the targets. Everything is made under build/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BUILD := $(CURDIR)/build
VENV := $(BUILD)/venv
export PATH := $(VENV)/bin:$(PATH)

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# ---- Tools: a virtual environment with the test tools, made once --------------------------------------------------

.PHONY: deps
deps: $(VENV)/.complete  ## Install what the targets need

$(VENV)/.complete: tests/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

# ---- Checks -------------------------------------------------------------------------------------------------------

.PHONY: test lint sanity unit
test: lint sanity unit  ## Run every check (what .ci/run calls)

lint: deps  ## ruff and ansible-lint (production profile)
	ruff check .
	ruff format --check .
	ANSIBLE_HOME=$(BUILD)/ansible ansible-lint --offline --profile production

sanity: deps  ## ansible-test sanity on a copy of the collection
	python3 tests/sanity/run.py

unit: deps  ## Unit tests
	python3 -m pytest

# ---- The package --------------------------------------------------------------------------------------------------

.PHONY: package clean
package: deps  ## Build the installable tarball, build/tanuki-ipsec-VERSION.tar.gz
	ansible-galaxy collection build --force --output-path $(BUILD) .

clean:  ## Remove everything that was built
	rm -rf $(BUILD) .pytest_cache .ruff_cache
