# Two commands do everything: `make demo` and `make test`. See README.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXABGP42 := .venv-exabgp42
# Tests mostly wait. Two workers wait for the guests at first, which take longest.
WORKERS ?= 5
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal

.PHONY: reference docs demo test quick lint mutants bench setup packages compiled clean

setup: $(VENV)/.installed

# The environment of the demo; setup adds the tools of the tests to it.
$(VENV)/.runtime: pyproject.toml tests/install
	@PYTHON=$(PYTHON) tests/install runtime $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.runtime
	@PYTHON=$(PYTHON) tests/install development $(VENV)
	@touch $@

# Debian 12's version of ExaBGP, for the tests of BGP.
$(EXABGP42)/.installed: tests/install
	PYTHON=$(PYTHON) tests/install exabgp $(EXABGP42) 4.2.21
	touch $@

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

quick: setup lint
	$(PYTEST) --hypothesis-profile=quick tests/unit tests/property

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.voice

mutants: setup
	$(BIN)/python -m tests.mutants.run

# Render docs/reference/options.md, the comments of etc/pybal.conf, manual pages and completion from the declarations.
reference: setup
	$(BIN)/python -m tests.harness.reference

# Build the site into build/site: open build/site/index.html. The search needs a server: .venv/bin/mkdocs serve
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: packages setup compiled
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) $(EXABGP42) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
