# Two commands do everything: `make demo` and `make test`. See README.md. CI runs `make test-package` and `make proof` as well.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXABGP42 := .venv-exabgp42
RELEASE := .venv-release
UPGRADE ?= --upgrade
# Tests mostly wait. Two workers wait for the guests at first, which take longest.
WORKERS ?= 5
# Those of make quick compute; each further worker would only collect them again.
CORES := $(shell nproc)
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal

.PHONY: reference docs demo deb test test-package proof chaos fuzz quick unit lint mutants bench setup packages compiled clean
.PHONY: dist lock matrix

setup: $(VENV)/.installed

# The environment of the demo; setup adds the tools of the tests to it.
$(VENV)/.runtime: pyproject.toml tests/install requirements/build.txt requirements/runtime.txt
	@PYTHON=$(PYTHON) tests/install runtime $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.runtime requirements/development.txt
	@PYTHON=$(PYTHON) tests/install development $(VENV)
	@touch $@

# Debian 12's version of ExaBGP, for the tests of BGP.
$(EXABGP42)/.installed: tests/install requirements/exabgp42.txt
	PYTHON=$(PYTHON) tests/install exabgp $(EXABGP42)
	touch $@

# The tools of a release: resolver, build, SBOM.
$(RELEASE)/.installed: tests/install requirements/release.txt
	@PYTHON=$(PYTHON) tests/install release $(RELEASE)
	@touch $@

# Wheel, source, Debian package, SBOM and checksums of a release, in build/dist.
dist: $(RELEASE)/.installed
	$(RELEASE)/bin/python -m release.dist

# Unit and property tests with other versions of Python and of libraries, as far as this machine can have them.
matrix: packages $(RELEASE)/.installed
	$(RELEASE)/bin/python -m release.matrix $(ENVIRONMENTS)

# Pin the newest versions that pyproject.toml allows, with their hashes. UPGRADE= keeps pinned versions that still satisfy it.
lock: $(RELEASE)/.installed
	$(RELEASE)/bin/python -m release.lock $(UPGRADE)

# As root: install the Debian packages that the suites need; otherwise list the missing packages and skipped suites.
packages:
	PYTHON=$(PYTHON) tests/install packages

# Tests start hundreds of processes: where Python writes no bytecode, each would compile PyBal for most of a second.
# pytest compiles the tests, with its assertions; each worker and each guest would do it for 13 s of CPU.
compiled: setup
	$(BIN)/python -m compileall -q pybal tests
	-@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --collect-only --quiet --quiet >/dev/null

demo: $(VENV)/.runtime
	@$(BIN)/python etc/demo/demo.py

test: packages setup $(EXABGP42)/.installed
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint compiled
	$(PYTEST)

# Build the Debian package into build/, with Debian's debhelper. The tests build it on Debian 12 and 13 themselves.
deb:
	$(PYTHON) -m tests.harness.package.deb build

# The Debian package on Debian 12 and 13, under a real systemd; needs root.
test-package: packages setup compiled $(RELEASE)/.installed
	$(PYTEST) tests/package

# Public incidents replayed in guests; random faults under the whole system and under one daemon, the seeds printed; the whole daemon in virtual time for hours; hostile servers, sources, resolvers, clients and routers; the kept inputs of all parsers, and their time and memory at their limits; a sample of mutants. With three workers, because guests beside each other make all tests slow.
proof: packages setup compiled
	$(BIN)/pytest --numprocesses 3 --dist worksteal tests/incidents tests/chaos tests/virtual tests/hostile tests/fuzz tests/mutants

# Random faults under the whole system in a guest, by default for ten minutes with a random seed: make chaos SEED=17 MINUTES=60. See tests/chaos/README.md.
chaos: packages setup compiled
	$(BIN)/python -m tests.chaos whole-system --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

$(VENV)/.fuzz: $(VENV)/.installed requirements/fuzz.txt
	@PYTHON=$(PYTHON) tests/install fuzz $(VENV)
	@touch $@

# Fuzz a parser, by default each in turn: make fuzz TARGET=http_response SECONDS=60. See tests/fuzz/README.md.
fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(TARGET)

quick: setup
	@$(MAKE) --no-print-directory --jobs=2 lint unit

unit: setup
	$(PYTEST) --numprocesses $(CORES) --hypothesis-profile=quick tests/unit tests/property

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.voice

# Each defect that somebody could write into the modules that decide must fail a test: make mutants WORDS=reconciler JOBS=4
mutants: setup compiled
	$(BIN)/python -m tests.mutants.run --jobs $(or $(JOBS),1) $(WORDS)

# Render docs/reference/options.md, the comments of etc/pybal.conf, manual pages and completion from the declarations.
reference: setup
	$(BIN)/python -m tests.harness.reference

# Build the site into build/site: open build/site/index.html. The search needs a server: .venv/bin/mkdocs serve
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: packages setup compiled
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) $(EXABGP42) $(RELEASE) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
