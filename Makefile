# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
COLLECTION := collections/ansible_collections/pideploy/k3s
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: help demo test unit lab-test molecule lint sanity clean system

help:           ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON); install Python 3.11 or newer, or: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

system:
	@./.ci/system-packages

demo: system $(STAMP)  ## three virtual Pis become a k3s cluster (YES=1: install system packages without asking)
	@$(BIN)/python -m pideploy.lab.demo

test: lint unit lab-test molecule  ## everything

unit: $(STAMP)  ## unit, contract and CLI tests: fast, no root
	$(BIN)/python -m pytest tests/unit tests/contract tests/cli -n auto -q

lab-test: system $(STAMP)  ## tests on virtual Pis, with a simulated k3s and, where the cache holds one, a real k3s
	$(BIN)/python -m pytest tests/lab tests/fault tests/real_k3s -q

molecule: system $(STAMP)  ## each role and the whole cluster, with Molecule
	@# An interrupted run leaves its lab, and Molecule would take it for fresh.
	$(BIN)/molecule destroy --no-report
	$(BIN)/molecule test --all --report

lint: $(STAMP)  ## ruff, mypy --strict, ansible-lint production, REUSE
	$(BIN)/ruff check .
	$(BIN)/mypy
	@# ansible-lint checks the syntax of playbooks without an inventory, which our ansible.cfg makes an error.
	@if [ -x $(BIN)/ansible-lint ]; then ANSIBLE_INVENTORY_UNPARSED_FAILED=false $(BIN)/ansible-lint --offline -q; else echo "ansible-lint: not run (it needs Python 3.12 or newer; this is $$($(BIN)/python -V))"; fi
	$(BIN)/reuse lint --quiet

sanity: $(STAMP)  ## ansible-test sanity
	./.ci/sanity $(BIN)

clean:          ## remove the demo's virtual Pis, the virtual environment and caches
	@if [ -x $(BIN)/pideploy ]; then $(BIN)/pideploy lab down demo 2>/dev/null || true; fi
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
