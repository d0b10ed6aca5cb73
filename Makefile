# `make` alone says what there is. Everything is installed into .venv, nothing outside this folder.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=
# ALL=--all: a language whose toolchain is missing is a failure, not skipped.
ALL ?=
export PYTHON

# pip says nothing about itself, and reads no setting of the user's that would change what it gets.
PIP := $(PY) -m pip --disable-pip-version-check --quiet
LOCKED := install --root-user-action ignore --only-binary :all: --require-hashes
OURS := install --root-user-action ignore --no-deps --no-build-isolation --no-index

PROJECTS := pyproject.toml clients/python/pyproject.toml
RUN := $(VENV)/.run-installed
DEV := $(VENV)/.dev-installed
BUF := tools/node_modules/.bin/buf
DEPLOY := $(VENV)/.deploy-installed
CHECKERS := hadolint kubectl kubernetes_validate node @kubernetes-models

##@ Use

help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } \
	    /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUN) ## Serve on 127.0.0.1:7411 (ARGS="--config FILE" is passed on)
	@exec $(VENV)/bin/sidecard serve $(ARGS)

test: $(DEV) ## Run the tests (ARGS="tests/core -k fold" is passed on)
	@$(PY) -m pytest $(ARGS)

test-clients: $(DEV) ## Check and test the other languages' clients (ARGS=go: one; needs its toolchain)
	@$(PY) -m scripts.clients $(ALL) $(ARGS)

bench: $(DEV) ## Measure speed and size against the floors
	@$(PY) -m tests.bench $(ARGS)

soak: $(DEV) ## Twenty minutes of mixed load, faults, reloads and key rotations (SOAK_S=60: shorter)
	@$(PY) -m tests.soak

kills: $(DEV) ## Kill the daemon 200 times, and hold its ledger against the upstream's books (5 minutes)
	@SIDECARD_TEST_KILLS=$${KILLS:-200} $(PY) -m pytest -q -s tests/chaos/test_budget.py

##@ Work on it

check: lint types contract manifests image-dry-run lock-check ## Run every check but the tests (needs npm)

format: $(DEV) ## Format the code and fix what can be fixed
	@$(PY) -m ruff check --fix $(ARGS)
	@$(PY) -m ruff format $(ARGS)

lint: $(DEV) ## Check style and format
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check

types: $(DEV) ## Check types, strictly
	@$(PY) -m mypy

contract: $(DEV) $(BUF) ## Check the contract: style, compatibility, generated code
	@scripts/buf lint
	@scripts/release-contract --check
	@$(PY) -m scripts.proto --check $(ALL)

manifests: $(DEPLOY) $(BUF) ## Check the Dockerfile and deploy/k8s, against their schemas
	@REQUIRE_TOOLS="$(CHECKERS) $$REQUIRE_TOOLS" $(PY) -m pytest tests/deploy \
	    --ignore tests/deploy/test_prometheus.py $(ARGS)

image-dry-run: $(DEV) ## Go through the image's build without Docker
	@mkdir -p build
	@$(PY) scripts/image.py rehearse >build/image-dry-run.log 2>&1 || \
	    { cat build/image-dry-run.log; exit 1; }
	@tail -n 1 build/image-dry-run.log

image: $(DEV) ## Build the container image (needs Docker; UNPINNED=1 takes the base as it is)
	@$(PY) scripts/image.py build $(ARGS)

image-pin: $(DEV) ## Write the digest of the image's base into the Dockerfile (needs Docker)
	@$(PY) scripts/image.py pin

proto: $(DEV) $(BUF) ## Generate the contract's code in clients/ from proto/ (ARGS=go: one language)
	@$(PY) -m scripts.proto $(ALL) $(ARGS)

proto-release: $(RUN) $(BUF) ## Promise the contract as it is now: rewrites proto/released.json
	@scripts/release-contract

lock: $(DEV) ## Resolve requirements/*.txt anew (ARGS=--upgrade for newer versions)
	@$(PY) scripts/lock.py $(ARGS)

lock-check: $(DEV) ## Check that the lock fits pyproject.toml and what is installed
	@$(PY) scripts/lock.py --check
	@$(PIP) check

dist: $(DEV) ## Build the wheels of the daemon and the client into dist/
	@$(PIP) wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . clients/python

clean: ## Remove everything that make made
	@rm -rf clients/typescript/node_modules clients/typescript/dist clients/*/target
	@rm -rf $(VENV) tools/node_modules tools/bin build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find sidecard clients scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- What those stand on -----------------------------------------------------------------------

$(VENV)/.made:
	@python=$$(scripts/find-python) && echo "Making $(VENV) with $$python" && \
	    "$$python" -m venv --clear $(VENV) && touch $@

$(RUN): $(VENV)/.made requirements/run.txt $(PROJECTS)
	@echo "Installing what sidecard runs on into $(VENV)"
	@$(PIP) $(LOCKED) -r requirements/run.txt
	@$(PIP) $(OURS) -e clients/python -e .
	@touch $@

$(DEV): $(RUN) requirements/dev.txt
	@echo "Installing what tests and checks need into $(VENV)"
	@$(PIP) $(LOCKED) -r requirements/dev.txt
	@touch $@

$(DEPLOY): $(DEV) requirements/deploy.txt
	@echo "Installing what checks the image and the manifests into $(VENV)"
	@$(PIP) $(LOCKED) -r requirements/deploy.txt
	@touch $@

$(BUF): tools/package.json tools/package-lock.json
	@command -v npm >/dev/null || { echo "sidecard: make check needs Node and npm for buf," \
	    "which checks the contract, and for the schemas of the manifests (on Debian and Ubuntu: apt-get install npm);" \
	    "make run and make test do without." >&2; exit 1; }
	@echo "Installing buf, the schemas of Prometheus' operator and Anthropic's SDK into tools/node_modules"
	@cd tools && npm ci --ignore-scripts --no-update-notifier --loglevel=error --no-audit --no-fund
	@touch $@

.PHONY: help run test test-clients bench soak kills check format lint types contract manifests image \
    image-pin image-dry-run proto proto-release lock lock-check dist clean
