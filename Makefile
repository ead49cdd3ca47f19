PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CORES  ?= all
SCALE  ?= laptop

.PHONY: run test check setup clean-env

run: $(VENV)/.run ## set up and reproduce all studies at laptop scale on embedded data
	$(BIN)/snakemake --cores $(CORES) --config scale=$(SCALE)
	@echo "The report is in results/$(SCALE)/report/index.html"

test: $(VENV)/.test ## set up and pass the tests; those on SLURM, which mostly wait, run beside the others
	finished=$$(mktemp -d); trap 'rm -rf "$$finished"*' EXIT; export SPECSEQ_FINISHED="$$finished"; \
	$(BIN)/python -m pytest -m slurm > "$$finished.slurm" 2>&1 & \
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slurm"; local=$$?; \
	wait $$!; slurm=$$?; cat "$$finished.slurm"; \
	echo "Tests on this machine: $$([ $$local = 0 ] && echo passed || echo FAILED)." \
	    "Tests on SLURM: $$([ $$slurm = 0 ] && echo passed or skipped || echo FAILED)."; \
	[ $$local = 0 ] && [ $$slurm = 0 ]

check: $(VENV)/.test ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy

setup: $(VENV)/.run

$(VENV)/.run: envs/requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.11')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/.test: envs/requirements-dev.lock $(VENV)/.run
	$(BIN)/python -m pip install --quiet --requirement envs/requirements-dev.lock
	touch $@

clean-env:
	rm -rf $(VENV)
