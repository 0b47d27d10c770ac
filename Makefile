# The two commands that matter: `make demo` and `make test`. Each verb sets up what it needs by itself.

SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python

.PHONY: help cli demo demo-vm prove up test check model mutants chaos fuzz audit bench clean lock system-deps build documents package

help:
	@echo "make demo         a VM's application held still, snapshotted, resumed, restored and checked (APP=ledger)"
	@echo "make demo-vm      the same with a real virtual machine, restored by booting a second one (root, QEMU)"
	@echo "make prove        many recovery points of every application in every mode, restored and checked (TRIES=20, APP=)"
	@echo "make up           the local stack with three VMs, until Ctrl-C: URLs and a curl command are printed"
	@echo "make cli          the command line, as .venv/bin/stillframe (docs/cli.md)"
	@echo "make test         the static checks and all tests that this machine allows"
	@echo "make check        the static checks alone"
	@echo "make model        every interleaving of a saga and its guest with two faults (DEEP=1: three kinds), and planted faults"
	@echo "make mutants      small changes of the saga and the protocol, and which of them no test notices (ARGS=saga.decide)"
	@echo "make chaos        the saga under fire: everything killed, broken and delayed, and looked at after each round (ROUNDS=60, SEED=1)"
	@echo "make fuzz         what reads bytes from outside, TIMES as often as make test (50); counts the executions"
	@echo "make audit        known weaknesses of everything that is pinned, by pip-audit and npm audit"
	@echo "make bench        freeze window, overhead, storage requests and invocations per saga"
	@echo "make documents    docs/openapi.json and docs/policy.schema.json, from the code"
	@echo "make package      what is shipped, into .build: the app, and the agent for VM Applications (WINDOWS_PYTHON=, WINDOWS_PYTHON_SHA256=)"
	@echo "make system-deps  Debian packages for the full set of tests (root)"
	@echo "make lock         compile requirements*.txt from pyproject.toml"
	@echo "make clean        remove everything that was made here"

demo: .venv/.installed node_modules/.installed build
	@$(PYTHON) -m local.demo $(APP)

demo-vm: .venv/.installed node_modules/.installed build
	@$(PYTHON) -m local.vm

prove: .venv/.installed node_modules/.installed build
	@$(PYTHON) -m local.prove $(if $(TRIES),--tries $(TRIES)) $(foreach app,$(APP),--application $(app)) $(ARGS)

up: .venv/.installed node_modules/.installed build
	@$(PYTHON) -m local.stack

cli: .venv/.installed
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/.venv/bin/python" -P -m cli "$$@"\n' "$(CURDIR)" "$(CURDIR)" \
	    >.venv/bin/stillframe
	@chmod +x .venv/bin/stillframe
	@echo "made .venv/bin/stillframe"

test: check node_modules/.installed build
	@$(PYTHON) -m local.testing $(ARGS)

check: .venv/.installed
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --check --quiet .
	@$(PYTHON) -m mypy --no-error-summary
	@$(PYTHON) -m tests.templates
	@$(PYTHON) -m mypy --no-error-summary --platform win32 --cache-dir .mypy_cache/windows agent shared/protocol.py
	@.venv/bin/lint-imports --no-cache >/dev/null || .venv/bin/lint-imports --no-cache
	@.venv/bin/vermin --quiet --no-tips --target=3.6- --violations agent shared/protocol.py shared/compute/agent_fetch.py
	@.venv/bin/shellcheck agent/*.sh infra/*.sh infra/guests/*.sh
	@echo "make check: all well"

model: .venv/.installed
	@$(PYTHON) -m tests.model $(if $(DEEP),--deep) $(ARGS)

mutants: .venv/.installed
	@$(PYTHON) -m tests.mutation $(ARGS)

fuzz: .venv/.installed
	@FUZZ_TIMES=$(or $(TIMES),50) $(PYTHON) -m pytest tests/unit/fuzz -q -n 2 --dist load --timeout 0 $(ARGS)

audit: .venv/.installed node_modules/.installed
	@local/bin/audit $(PYTHON)

chaos: .venv/.installed node_modules/.installed build
	@$(PYTHON) -m tests.chaos $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: .venv/.installed node_modules/.installed build
	@$(PYTHON) -m bench $(ARGS)

documents: .venv/.installed
	@$(PYTHON) -m local.documents

build: .venv/.installed
	@$(PYTHON) agent/build.py >/dev/null

package: .venv/.installed
	@$(PYTHON) -m local.package $(if $(WINDOWS_PYTHON),--windows-python $(WINDOWS_PYTHON)) \
	    $(if $(WINDOWS_PYTHON_SHA256),--windows-python-sha256 $(WINDOWS_PYTHON_SHA256))

.venv/.installed: requirements-dev.txt
	@python=$$(local/bin/find-python) || exit 1; \
	echo "making .venv with $$python"; \
	rm -rf .venv; \
	"$$python" -m venv .venv 2>/dev/null || { \
	    rm -rf .venv; \
	    command -v uv >/dev/null || { echo "the venv module is missing: apt-get install python3.13-venv" >&2; exit 1; }; \
	    uv venv --quiet --seed --python "$$python" .venv; }; \
	$(PYTHON) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

node_modules/.installed: package-lock.json package.json .npmrc
	@command -v npm >/dev/null || { echo "Node.js 20 or newer with npm is missing: apt-get install nodejs npm" >&2; exit 1; }
	@node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' || \
	    { echo "Node.js $$(node --version) is too old: 20 or newer is needed" >&2; exit 1; }
	@echo "installing Azurite"
	@npm ci --silent --no-audit --no-fund
	@touch $@

# RUNLEVEL=1 (invoke-rc.d(8)): packages start no service; the guests start their own servers.
system-deps:
	@[ "$$(id -u)" = 0 ] || { echo "make system-deps installs Debian packages: run it as root" >&2; exit 1; }
	@apt-get update -qq
	@RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    btrfs-progs busybox-static chromium cpio debootstrap e2fsprogs mariadb-server mount postgresql procps qemu-system-x86 \
	    seabios util-linux wine wine64 xfsprogs >/dev/null

lock: .venv/.installed
	@set -e; compile=".venv/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-header"; \
	$$compile pyproject.toml -o requirements.txt; \
	$$compile pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt; \
	$$compile --group cli -c requirements-dev.txt -o requirements-cli.txt

clean:
	@rm -rf .venv node_modules build .build mutants .bench .chaos .demo .local .prove .mypy_cache .ruff_cache .hypothesis \
	    .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
