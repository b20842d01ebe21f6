# Two to begin with: `make run`, `make test`. `make` alone lists them all.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help

# Where bytecode may not be written, every process of the tests compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one by: make PYTHON=python3.13 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

.PHONY: install
install: $(INSTALLED) ## a virtual environment in .venv, from the lock file

# Not from the environment, where PORT is often another program's.
PORT = 8080

.PHONY: run
run: $(INSTALLED) ## broker, registry and bridge in one process; Ctrl-C ends it; on another port: make run PORT=18080
	$(BIN)/connector dev --demo --port $(PORT)

# A module's tests share servers, so a module stays in one process; the slow ones come first.
IN_PARALLEL := --dist loadfile --no-loadscope-reorder

.PHONY: test
test: $(INSTALLED) ## what to run before a commit: unit, contract, docs and integration tests; needs Python alone
	$(BIN)/python -m pytest -n auto $(IN_PARALLEL) -m "not (real or slow)"

.PHONY: test-real
test-real: $(INSTALLED) ## all other tests: real Kafka and registry, other runtimes, faults, pressure; needs Maven and npm
	# In one process: two would start every server twice, and the tests' own deadlines would be missed on two cores.
	$(BIN)/python -m pytest -m "real or slow"

FUZZ_SECONDS ?= 60

.PHONY: fuzz
fuzz: $(INSTALLED) ## mutated callbacks, all accounted for; for longer: make fuzz FUZZ_SECONDS=600
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

FAULT ?=
FAULT_SECONDS ?= 6
FAULT_RATE ?= 100
FAULT_RUNS ?= 1

.PHONY: faults
faults: $(INSTALLED) ## brokers, network, disk and bridge broken under load, nothing lost; one alone: make faults FAULT="disk full"
	$(BIN)/python -m tests.faults.scenarios $(if $(FAULT),--only "$(FAULT)") --seconds $(FAULT_SECONDS) --rate $(FAULT_RATE) --runs $(FAULT_RUNS)

.PHONY: lint
lint: $(INSTALLED) ## ruff, format, mypy strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: docs
docs: $(INSTALLED) ## write the generated pages of docs/reference again
	$(BIN)/python -m supply.reference

SITE := $(VENV)/.site

$(SITE): requirements-docs.lock $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-docs.lock
	@touch $@

.PHONY: docs-serve
docs-serve: $(SITE) ## the documentation as a site on http://127.0.0.1:8000, rebuilt at every change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

.PHONY: docs-site
docs-site: $(SITE) ## the same site in build/site; broken links are errors; REPO_URL=https://... links to the code
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: cover
cover: $(INSTALLED) ## all tests of both runs, with branch coverage
	$(BIN)/python -m pytest --cov --cov-report=term

.PHONY: stack
stack: $(INSTALLED) ## the real Kafka and registry in the foreground; needs Maven
	$(BIN)/python -m tests.stack

.PHONY: bench
bench: $(INSTALLED) ## the bridge beside the usual way, ten minutes; needs wrk (and Maven for the real Kafka)
	$(BIN)/python -m benchmarks

.PHONY: bench-quick
bench-quick: $(INSTALLED) ## the same in a minute
	$(BIN)/python -m benchmarks --quick

PERFORMANCE := docs/performance
SOAK_SECONDS ?= 60

.PHONY: growth
growth: $(INSTALLED) ## what a callback costs as things grow, as plots in docs/performance; longer: make growth SOAK_SECONDS=600
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-bench.lock
	$(BIN)/python -m benchmarks.growth --soak-seconds $(SOAK_SECONDS)
	$(BIN)/python -m benchmarks.plots

.PHONY: performance
performance: $(INSTALLED) ## measure every figure and plot of the docs again, half an hour; needs a quiet machine, perf, nginx and g++
	mkdir -p $(PERFORMANCE)
	$(BIN)/python -m benchmarks --save $(PERFORMANCE)/bench.json
	$(BIN)/python -m benchmarks.floor --save $(PERFORMANCE)/floor.json
	$(BIN)/python -m benchmarks.where --save $(PERFORMANCE)/where.json
	$(MAKE) growth
	$(BIN)/python -m benchmarks.pages

.PHONY: guard-figures
guard-figures: $(INSTALLED) ## store what a callback costs now, for tests/contract/test_cost.py; by a person, who says why
	$(BIN)/python -m tests.support.cost

.PHONY: wheel
wheel: $(INSTALLED) ## the wheel in dist/, and beside it its bill of materials (CycloneDX)
	$(BIN)/python -m hatchling build -t wheel -d dist
	$(BIN)/python -m supply.sbom dist

.PHONY: audit
audit: $(INSTALLED) ## is anything known against the locked packages? asks PyPI, else OSV
	$(BIN)/python -m supply.audit

UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

# One file for each purpose, although most lines are in all of them. Users and developers install with pip alone, on a Python that
# brings an old pip: it checks hashes only of requirements files, it cannot choose a part of one file, and it reads neither
# pylock.toml nor uv.lock. With one file for all, every server would get the tools too. `-c` keeps the versions equal.
.PHONY: lock
lock: $(INSTALLED) ## resolve the lock files again, from pyproject.toml and the examples
	$(UV_COMPILE) pyproject.toml -o requirements.lock
	$(UV_COMPILE) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock
	$(UV_COMPILE) pyproject.toml --extra bench -c requirements-dev.lock -o requirements-bench.lock
	$(UV_COMPILE) pyproject.toml --extra docs -c requirements-dev.lock -o requirements-docs.lock
	$(UV_COMPILE) examples/revenue/requirements.in -o examples/revenue/requirements.lock
	$(BIN)/python -c 'import tomllib, pathlib; print(*tomllib.loads(pathlib.Path("pyproject.toml").read_text())["build-system"]["requires"], sep="\n")' \
		| $(UV_COMPILE) -c requirements-dev.lock -o requirements-build.lock -
