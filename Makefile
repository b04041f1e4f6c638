# Everything a user types. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
ARGS ?=
STUDY := experiments/focal_loss

.DEFAULT_GOAL := help
.PHONY: help setup data train test test-slow lint sweep tune status report bandits methods \
	methods-report bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ncf needs Python 3.11 or newer; name one: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,report,tracking,parallel,export,tuning,causal,ann,distributed]'
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt torchrec fbgemm-gpu-cpu
	@touch $@

setup: $(READY)  ## make .venv and install everything at its tested version

data: $(READY)  ## fetch and prepare MovieLens-100K (ARGS="data=ml-1m" for another set) and print its statistics
	$(RUN) -m ncf.data $(ARGS)

train: $(READY)  ## train the default model and print its table (ARGS="loss=focal neg_ratio=50 seed=7")
	$(RUN) -m ncf.train $(ARGS)

test: $(READY)  ## run the tests (about 3 minutes on two cores)
	PYTHONDONTWRITEBYTECODE= $(RUN) -m pytest  # or each worker, and each command that it starts, compiles every module anew

test-slow: $(READY)  ## run the minutes-long tests: kills, fuzzing, scale
	$(RUN) -m pytest -m slow -n 0 --timeout 3600

lint: $(READY)  ## style, forbidden calls, layers and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy

sweep: $(READY)  ## run the registered focal-loss study; stop it at any time, the same command resumes it
	$(RUN) -m ncf.train -m experiment=focal_loss $(ARGS)

tune: $(READY)  ## choose a model's settings by validation (ARGS="model=ease --trials 30"); the same command resumes it
	$(RUN) -m ncf.tune $(ARGS)

status: $(READY)  ## progress of the sweep on disk
	$(RUN) -m ncf.status $(ARGS)

report: $(READY)  ## tables, figures and the verdict from the study's results
	$(RUN) -m ncf.report --import experiments.focal_loss.sections --registration $(STUDY)/preregistration.yaml $(if $(filter sweep=% --sweep%,$(ARGS)),,--results $(STUDY)/results.csv) $(ARGS)

bandits: $(READY)  ## compare all agents in simulations as registered, about an hour (ARGS="--seeds 2" for a look); resumes
	$(RUN) -m experiments.bandits $(ARGS)

methods: $(READY)  ## ask every method what a ranker does where the truth is known, as registered, half an hour; resumes
	$(RUN) -m experiments.which_method run $(ARGS)
	$(RUN) -m experiments.which_method report

methods-report: $(READY)  ## the page of `make methods` from its committed tables
	$(RUN) -m experiments.which_method report

bench: $(READY)  ## compare speed with RecBole and others (makes a virtual environment for them; an hour)
	$(RUN) -m experiments.benchmarks $(ARGS)

clean:  ## remove the environment, caches and run folders; downloaded data stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis outputs data/processed *.egg-info
