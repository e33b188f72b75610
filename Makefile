PYTHON ?= python3
BIN := .venv/bin
# A process a core, each with one thread: most tests are too small for two. A file's tests run in one process, which
# makes what they share once; files start in the order of tests/conftest.py. Bytecode is kept even where the environment
# says otherwise, or each process and each command that a test starts would compile all files again.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all test-faults check docs clean fuzz

demo: .venv/ready
	$(BIN)/likewise demo

test: .venv/ready
	$(PYTEST) -m "not slow"

test-all: .venv/ready check
	$(PYTEST)

# Real processes that are killed, starved and misled; about five minutes on two cores.
test-faults: .venv/ready
	$(PYTEST) -m faults

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: .venv/ready
	$(BIN)/python docs/generate.py
	$(BIN)/zensical build --strict --clean

# One file stands for a finished installation, so that an interrupted one is made again.
.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

# Damages small inputs at random for ten minutes; findings go to fuzz-findings/.
fuzz: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/run.py --seconds 600

clean:
	rm -rf .venv runs site
