# The only verbs to learn: run, test, check, docs. Everything happens in .venv, made from the lock files.
# make run ARGS="--ephemeral --edges 2"      make test ARGS="-k roster"      make PYTHON=python3.12 run

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
MINUTES ?= 10
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes

export PIP_ROOT_USER_ACTION := ignore
.PHONY: run test check docs chaos rollout api format compile clean help

help:
	@echo 'make run     start a whole cluster here, in the foreground (ARGS="--ephemeral" keeps nothing)'
	@echo 'make test    the whole suite, with real NATS, Postgres and clusters (ARGS for pytest)'
	@echo 'make check   under a minute: format, lint, types, floors, unit tests, generated documents'
	@echo 'make docs    write the generated documents anew'
	@echo 'make chaos   break a whole cluster under its clients and judge it (SEED=1 MINUTES=10, docs/faults.md)'
	@echo 'make rollout roll the Deployments of k8s/overlays/prod here, as processes, under clients (docs/faults.md)'
	@echo 'make api     hold the administration API against its own description (fetches schemathesis into .venv-api)'
	@echo 'make compile after a change of the sources: compile the message path again (make run does it once, where it can)'

run: $(VENV)/.compiled
	@exec $(BIN)/rookery up $(ARGS)

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.installed-dev
	@$(BIN)/ruff format --check --quiet . || { echo 'run: make format'; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports 2>&1 | tail -n 20
	@ROOKERY_QUICK_TESTS=1 $(BIN)/python -m pytest -q -n auto tests/unit tests/xeps tests/house

docs: $(VENV)/.installed-dev
	@$(BIN)/python scripts/docs.py

chaos: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.cluster.chaos$(if $(PEER),.abroad --peer $(PEER)) $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES) $(ARGS)

rollout: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.cluster.rollout $(ARGS)

# In a folder of its own: forty packages that nothing else needs, and a Hypothesis that need not be ours.
api: $(VENV)/.installed-dev .venv-api/.installed
	@$(BIN)/python -m tests.fuzz.api --schemathesis .venv-api/bin/schemathesis $(ARGS)

.venv-api/.installed:
	@$(PYTHON) -m venv .venv-api
	@.venv-api/bin/python -m pip --disable-pip-version-check --quiet install 'schemathesis>=4.32,<5'
	@touch $@

format: $(VENV)/.installed-dev
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

compile: $(VENV)/.compiler
	@$(BIN)/python scripts/compile.py

clean:
	rm -rf $(VENV) .venv-api build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.installed: requirements.lock requirements-build.lock pyproject.toml scripts/venv.py
	@echo 'making $(VENV) (once, about a minute)'
	@$(PYTHON) scripts/venv.py $(VENV)
	@$(PIP) -r requirements.lock -r requirements-build.lock
	@$(BIN)/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo 'adding what tests and checks need to $(VENV) (once)'
	@$(PIP) -r requirements-dev.lock
	@touch $@

# Once, and only where there is a C compiler: what cannot be compiled runs as plain Python.
$(VENV)/.compiled: $(VENV)/.installed
	@if $(BIN)/python scripts/compile.py --possible; then \
	    echo 'compiling the message path (once, about a minute)'; \
	    $(MAKE) --no-print-directory compile || echo 'not compiled: Rookery runs as plain Python' >&2; \
	fi
	@touch $@

$(VENV)/.compiler: requirements-compile.lock $(VENV)/.installed
	@$(PIP) -r requirements-compile.lock
	@touch $@
