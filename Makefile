PYTHON ?= python3
VENV := .venv
LAUNCHER_VENV := .venv-launcher
LAUNCHER := nvidia-tao==6.26.3
ARGS ?=
SECONDS ?= 3600

.PHONY: help demo test lint bench soak clean system-packages
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## play the story in a scratch home: no GPU, no TAO, ten seconds
	@$(VENV)/bin/taowatch demo

test: system-packages $(VENV)/.installed-test $(LAUNCHER_VENV)/.installed ## run all tests on real parts; ARGS="-k name" selects
	$(VENV)/bin/python -m pytest $(ARGS)

lint: system-packages $(VENV)/.installed-test ## style, types, import arrows and shell files
	$(VENV)/bin/ruff check --extend-exclude $(LAUNCHER_VENV) .
	$(VENV)/bin/ruff format --check --extend-exclude $(LAUNCHER_VENV) .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	@tests/support/lint-shell

bench: system-packages $(VENV)/.installed-test $(LAUNCHER_VENV)/.installed ## measure against the budgets
	$(VENV)/bin/python -m benchmarks $(ARGS)

soak: system-packages $(VENV)/.installed-test ## an hour of random notebooks, jobs and faults; SECONDS=120 is what CI does
	$(VENV)/bin/python -m tests.faults.soak $(SECONDS)

clean: ## remove the environments and everything built
	rm -rf $(VENV) $(LAUNCHER_VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

system-packages:
	@tests/support/system-packages

$(VENV)/.created:
	@tests/support/check-python $(PYTHON)
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.created pyproject.toml
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.installed

# Apart from ours, because the launcher pins old libraries. Where it cannot be had, its tests are
# left out by name; with CI=true they fail.
$(LAUNCHER_VENV)/.installed:
	@tests/support/check-python $(PYTHON)
	$(PYTHON) -m venv --clear $(LAUNCHER_VENV)
	@if $(LAUNCHER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(LAUNCHER); then touch $@; \
	elif [ "$${CI:-}" = true ]; then exit 1; \
	else echo "The launcher could not be installed; tests that need it are left out." >&2; fi
