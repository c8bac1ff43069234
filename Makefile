# stream_inspect: `make demo` shows it at work, `make test` tests it; both do all the set-up on a fresh machine.
#
#   TORCH=cpu      the small CPU build of torch (default, unless the CUDA build is there)
#   TORCH=cuda     the CUDA build
#   PYTHON=...     the interpreter to make the environment with, 3.11 or newer
#   ARGS="..."     options passed on, e.g. make demo ARGS="--seconds 30 --no-browser"
#   WORKERS=3      processes that share the tests among them; 0 for none but its own, as a debugger wants
#   EXTRAS=dev,gige   also what GigE Vision cameras want (configs/gige.yaml names the system's packages)

PYTHON ?= python3
ARGS ?=
EXTRAS ?= dev
WORKERS ?= 3
VENV := .venv
BIN := $(VENV)/bin
TORCH ?= $(if $(wildcard $(VENV)/.torch-cuda),cuda,cpu)
TORCH_VERSION := $(shell sed -n 's/^torch==//p' deploy/constraints.txt)
# What is installed is marked by files: the build of torch, and each extra by itself. So asking for one more installs it,
# and asking for fewer afterwards installs nothing.
COMMA := ,
TORCH_MARK := $(VENV)/.torch-$(TORCH)
READY := $(patsubst %,$(VENV)/.extra-%,$(subst $(COMMA), ,$(EXTRAS)))
BENCH_MARK := .venv-bench/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c deploy/constraints.txt

ifeq ($(filter $(TORCH),cpu cuda),)
$(error TORCH must be cpu or cuda, not '$(TORCH)')
endif

.PHONY: help demo test test-unit check format docs soak train bench bench-env wheel clean

help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s%s\n", $$1, $$2}' Makefile

$(TORCH_MARK): deploy/constraints.txt
	@echo "setting up $(VENV) with the $(TORCH) build of torch (once, a minute or two)"
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is not there or older than Python 3.11: name another, make ... PYTHON=python3.12"; exit 1; }; \
	  $(PYTHON) -m venv --clear $(VENV) || { \
	    echo "could not make $(VENV): on Debian and Ubuntu 'apt install python3-venv' first"; exit 1; }; }
ifeq ($(TORCH),cpu)
	@$(PIP) "torch==$(TORCH_VERSION)+cpu" 2>/dev/null || \
	  $(PIP) --extra-index-url https://download.pytorch.org/whl/cpu "torch==$(TORCH_VERSION)+cpu"
else
	@$(BIN)/python -m pip uninstall -q -y torch 2>/dev/null || true  # the CPU build would satisfy the version
	@$(PIP) "torch==$(TORCH_VERSION)"
endif
	@rm -f $(VENV)/.torch-* && touch $@

$(READY) &: pyproject.toml $(TORCH_MARK)
	@$(PIP) -e ".[$(EXTRAS)]"
	@touch $(READY)

demo: $(READY)  ## watch the synthetic line being inspected
	@$(BIN)/stream-inspect demo $(ARGS)

# First the fast tests, by three workers for two cores, since they wait as much as they compute (hence a thread each for
# torch); then the slow ones likewise; then, one after the other, those that measure times. 5: none of that kind.
SHARED := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
FAST := $(SHARED) -m "not soak and not slow and not alone"
SLOW := $(SHARED) -m "slow and not soak"
ALONE := $(BIN)/python -m pytest -m "alone and not soak"

test: $(READY)  ## every test but the long ones; half an hour on two cores
	$(FAST) $(ARGS) || test $$? = 5
	$(SLOW) $(ARGS) || test $$? = 5
	$(ALONE) $(ARGS) || test $$? = 5

test-unit: $(READY)  ## the fast tests, with fewer examples of the properties; three minutes on two cores
	$(FAST) --hypothesis-profile=quick $(ARGS)

check: $(READY)  ## format, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## generate the references and schemas again
	$(BIN)/stream-inspect schema write

soak: $(READY)  ## the long runs, an hour in which everything fails among them (STREAM_INSPECT_SOAK_MINUTES=10: shorter)
	$(BIN)/python -m pytest -m soak -s $(ARGS)

train: $(READY)  ## train the embedded models again (hours; resumable)
	$(BIN)/python -m stream_inspect.tiny.train $(ARGS)

bench: $(READY) bench-env  ## all benchmarks, as ratios against named peers
	$(BIN)/stream-inspect bench transport
	$(BIN)/stream-inspect bench inspect
	$(BIN)/stream-inspect bench belt
	$(BIN)/stream-inspect bench track

bench-env: $(BENCH_MARK)  ## the peers' environment for the benchmarks, .venv-bench

$(BENCH_MARK): deploy/bench-requirements.txt
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --no-deps -r deploy/bench-requirements.txt
	@touch $@

wheel: $(READY)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

clean:  ## remove the environments and everything built
	rm -rf .venv .venv-bench build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
