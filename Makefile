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

.PHONY: deps packages
deps: $(VENV)/.complete  ## Install what the targets need

packages:  ## Install the Debian packages that this host lacks
	@lab/install-packages.sh

$(VENV)/.complete: tests/requirements.txt | packages
	@echo "== Python tools in build/venv"
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

# ---- Checks -------------------------------------------------------------------------------------------------------

# Where ansible-lint finds this checkout under its name as a collection.
CHECKOUT := $(BUILD)/checkout

.PHONY: test lint sanity kernel gateway unit report runner
test: lint sanity unit molecule freebsd-simulated kernel gateway report runner faults interop  ## Run every check (what .ci/run calls)

lint: deps  ## ruff and ansible-lint (production profile)
	@echo "== ruff"
	ruff check .
	ruff format --check .
	@echo "== ansible-lint"
	mkdir -p $(CHECKOUT)/ansible_collections/tanuki
	ln -sfn $(CURDIR) $(CHECKOUT)/ansible_collections/tanuki/ipsec
	ANSIBLE_HOME=$(BUILD)/ansible ANSIBLE_COLLECTIONS_PATH=$(CHECKOUT) ansible-lint
	@echo "== documentation and changelog"
	ANSIBLE_COLLECTIONS_PATH=$(CHECKOUT) antsibull-docs lint-collection-docs --plugin-docs \
	    --no-disallow-semantic-markup $(CHECKOUT)/ansible_collections/tanuki/ipsec
	antsibull-changelog lint

sanity: deps  ## ansible-test sanity on a copy of the collection
	@echo "== ansible-test sanity"
	python3 tests/sanity/run.py

kernel: deps  ## Tests against a real kernel with ESP, in user-mode Linux
	@echo "== kernel tests"
	tests/kernel/run

gateway: deps  ## The packet filter's rules with real packets, in namespaces of this machine's kernel
	@echo "== gateway tests"
	tests/gateway/run

unit: deps  ## Unit tests
	@echo "== unit tests"
	python3 -m pytest -n auto

report: deps  ## The fleet's page in headless Chromium; screenshots and print-outs in build/report
	@echo "== the fleet's page"
	python3 -m pytest tests/report

runner: deps  ## The playbooks under ansible-runner; what ansible-builder makes of the collection
	@echo "== ansible-runner"
	python3 -m pytest tests/runner

# ---- The package --------------------------------------------------------------------------------------------------

.PHONY: package clean
package: deps  ## Build the installable tarball, build/tanuki-ipsec-VERSION.tar.gz
	ansible-galaxy collection build --force --output-path $(BUILD) .

clean: demo-down molecule-down  ## Stop the machines, remove everything that was built
	rm -rf $(BUILD) .pytest_cache .ruff_cache

# ---- The lab: virtual machines to see it work (docs/lab.md) --------------------------------------------------------

PROFILE ?= modern
MOLECULE := $(BUILD)/molecule

.PHONY: demo demo-down lab-image lab-up lab-status molecule molecule-down
demo: deps  ## Two sites in virtual machines, a tunnel between them and its proof; PROFILE=2007: the how-to's
	python3 -m lab.demo --profile $(PROFILE)

demo-down:  ## Stop the demo's machines
	python3 -m lab down

lab-image: packages  ## Build the machines' image, unless it's there
	python3 -m lab image

lab-up: packages  ## Start the demo's machines without deploying anything
	python3 -m lab up

lab-status:  ## What of the demo runs, and what crossed its internet
	python3 -m lab status

molecule: deps  ## Deploy, deploy again, verify, break and verify: on virtual machines of its own
	MOLECULE_EPHEMERAL_DIRECTORY=$(MOLECULE)/state ANSIBLE_HOME=$(BUILD)/ansible molecule test

molecule-down:  ## Stop what an interrupted molecule run left
	python3 -m lab --directory $(MOLECULE)/lab down

# ---- FreeBSD: PF_KEY on a real kernel, and the role in a simulation and on an image of yours (docs/freebsd.md) ----------

SCENARIO := MOLECULE_EPHEMERAL_DIRECTORY=$(MOLECULE)/state ANSIBLE_HOME=$(BUILD)/ansible molecule test --scenario-name

.PHONY: freebsd freebsd-simulated
freebsd: deps  ## PF_KEY, the FreeBSD role in a simulation, and on FreeBSD with FREEBSD_IMAGE=…; prints a table
	@failed=0; table=(); \
	row() { local name=$$1; shift; if "$$@"; then table+=("passed   $$name"); else table+=("FAILED   $$name"); failed=1; fi; }; \
	row "PF_KEY, and our daemon on it against XFRM, on a real kernel (Linux)" tests/kernel/run -k "pfkey or daemons"; \
	row "the role, both implementations, on a machine dressed as FreeBSD" $(MAKE) freebsd-simulated; \
	if [ -n "$${FREEBSD_IMAGE:-}" ]; then row "the role on $${FREEBSD_IMAGE##*/}" env $(SCENARIO) freebsd; \
	else table+=("skipped  the role on FreeBSD: FREEBSD_IMAGE names no image (docs/lab.md)"); fi; \
	printf '%s\n' "" "$${table[@]}"; exit $$failed

freebsd-simulated: deps  ## The FreeBSD role on a Debian machine dressed as FreeBSD: a simulation
	$(SCENARIO) freebsd_simulated

# ---- The fleet: a hub and its spokes in one machine (docs/fleet.md) -----------------------------------------------------

.PHONY: fleet
fleet: deps  ## A hub and FLEET_SITES=50 spokes: each journey, its pings and its cost
	PYTHONPATH=$(CURDIR) python3 -m tests.benchmarks.bench_plan
	tests/fleet/run

# ---- Benchmarks: each figure beside a peer's, measured in the same run ----------------------------------------------

.PHONY: bench
bench: deps  ## Benchmarks against charon; prints a table, writes build/bench.json
	python3 -m tests.interop.trees strongswan-5.9
	PYTHONPATH=$(CURDIR):$(CURDIR)/plugins/module_utils PYTHONWARNINGS='ignore:Diffie-Hellman over finite fields' \
	    python3 -m tests.benchmarks

# ---- Fuzzing: coverage-guided, both front ends that read what strangers wrote ----------------------------------------

FUZZ_SECONDS ?= 600

.PHONY: fuzz
fuzz: deps  ## Fuzz the wire and configuration floors, FUZZ_SECONDS=600 in all; new inputs go to build/fuzz
	$(VENV)/bin/pip install --quiet --disable-pip-version-check atheris==3.0.0
	@for target in wire config; do \
	  echo "== $$target"; mkdir -p $(BUILD)/fuzz/$$target; \
	  python3 tests/fuzz/fuzz_$$target.py -max_total_time=$$(($(FUZZ_SECONDS) / 2)) -print_final_stats=1 \
	    -artifact_prefix=$(BUILD)/fuzz/$$target- $(BUILD)/fuzz/$$target tests/fuzz/corpus/$$target; \
	done

# ---- Interoperability: other people's daemons, on a kernel with ESP (docs/interop.md) ---------------------------------

.PHONY: interop
interop: deps  ## IKE against strongSwan, Libreswan and OpenIKED with real packets; prints the matrix
	@echo "== interoperability"
	tests/interop/run

# ---- Faults: break a working pair, one thing at a time; the diagnosis has to name it (docs/troubleshooting.md) -----------

.PHONY: faults
faults: deps  ## Inject faults into a working pair; prints fault, first-ranked cause, seconds
	@echo "== faults"
	tests/faults/run
