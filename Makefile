# The commands of this project. Each first sets up .venv when it is missing or
# older than requirements.txt; `make quickstart PYTHON=/path/to/python3` picks another
# interpreter, `make quickstart FLAGS=--resume` hands flags to the main job.

CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
IS_RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c '$(IS_RECENT)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-tests
CPU_TORCH := https://download.pytorch.org/whl/cpu
RUN := $(VENV)/bin/python
FLAGS ?=

.PHONY: quickstart test test-fast lint bench tpu-compile notebooks libero-env
.DELETE_ON_ERROR:

quickstart: $(STAMP)
	@$(RUN) -m experiments.quickstart --workdir=runs/quickstart $(FLAGS)

# Most of a test is compiling, which takes one core: a process for each, file by file,
# as they come: the launchers, which take longest, are among the first.
PYTEST := $(RUN) -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile \
	--no-loadscope-reorder

test: $(TEST_STAMP)
	@$(PYTEST) $(FLAGS)

# Without the launchers and whatever else takes long: minutes instead of a quarter hour.
test-fast: $(TEST_STAMP)
	@$(PYTEST) -m "not slow" $(FLAGS)

lint: $(STAMP)
	@$(RUN) -m flake8
	@$(RUN) -m isort --check-only --quiet .
	@$(RUN) -m mypy

# Compiles for a TPU without one; one line where libtpu, the extra `tpu`, is missing.
tpu-compile: $(STAMP)
	@$(RUN) -m experiments.benchmarks.aot --num_envs=8 --size=64 $(FLAGS)

bench: $(STAMP)
	@for file in $(filter-out %/accelerator.py %/aot_table.py,$(wildcard experiments/benchmarks/[a-z]*.py)); do \
		$(RUN) -m experiments.benchmarks.$$(basename $$file .py) || exit 1; done

# The notebooks for Colab, from the Python files beside them; their badges need
# FLAGS=--repository=OWNER/NAME, once.
notebooks: $(STAMP)
	@$(RUN) -m experiments.colab.convert $(FLAGS)

# The real LIBERO, for experiments.evaluate_real; its pins want Python 3.10 to 3.12.
LIBERO_VENV := .venv-libero
LIBERO_REQUIREMENTS := experiments/real_libero/requirements.txt
libero-env: $(LIBERO_VENV)/.installed
$(LIBERO_VENV)/.installed: $(LIBERO_REQUIREMENTS)
	@test -d $(LIBERO_VENV) || $(PYTHON) -m venv $(LIBERO_VENV)
	@$(LIBERO_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps \
		hf-libero==0.1.4 robosuite==1.4.0 bddl==1.0.1 thop==0.1.1.post2209072238
	@$(LIBERO_VENV)/bin/pip install --quiet --disable-pip-version-check \
		--requirement $<
	@touch $@

# The stamp is touched last, so an interrupted installation is taken up again.
$(STAMP): requirements.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(IS_RECENT)' || { echo \
		"OmniVLA-RL needs Python 3.11 or newer, and '$(or $(PYTHON),python3)' is" \
		"not: install it, or name one with 'make PYTHON=/path/to/python3.11'."; \
		exit 1; }
	@$(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
		{ rm -rf $(VENV); echo \
		"$(PYTHON) cannot create $(VENV): install its venv package" \
		"(Debian and Ubuntu: apt install python3-venv)."; exit 1; }
	@echo "Installing the pinned requirements into $(VENV) (a few minutes, once)."
	@$(RUN) -m pip install --quiet --disable-pip-version-check \
		--requirement requirements.txt || { echo \
		"The installation stopped: see the line above, then run make again."; \
		exit 1; }
	@touch $@

# Only torch is looked for in the second index; tests/requirements.txt says why.
$(TEST_STAMP): tests/requirements.txt $(STAMP)
	@echo "Installing the tests' references, torch and transformers (once)."
	@$(RUN) -m pip install --quiet --quiet --disable-pip-version-check --no-deps \
		--extra-index-url $(CPU_TORCH) --constraint $< torch && \
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps \
		openpi-client==0.1.2 && \
	$(RUN) -m pip install --quiet --disable-pip-version-check --requirement $< || { \
		echo "The installation stopped: see the line above, then run make again."; \
		exit 1; }
	@touch $@
