# Everything a person or CI runs. `make help` lists it. The environment is .venv; name another Python with
# `make PYTHON=python3.12 install`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUNTIME := $(VENV)/.runtime-installed
DOCS := $(VENV)/.docs-installed
DEV := $(VENV)/.dev-installed
SOAK_MINUTES ?= 10
EVAL := build/eval
EVAL_ITEMS ?= 1000
ABLATION_ITEMS ?= 100
TABLES_ITEMS ?= 200
FOUR_ITEMS ?= 200
FOURTH := build/four/zoo-dream
FOUR_CONDITIONS := post;tcc;commit;score=tcc models=zoo-llada,zoo-dream,zoo-qwen3;score=commit models=zoo-llada,zoo-dream,zoo-qwen3;score=commit models=zoo-llada,zoo-dream,fourth;score=commit models=zoo-llada,zoo-qwen3,fourth;score=commit models=zoo-dream,zoo-qwen3,fourth
EVAL_AMONG := tcc;commit;score=commit models=zoo-llada,zoo-dream;score=commit models=zoo-llada,zoo-qwen3;score=commit models=zoo-dream,zoo-qwen3

.PHONY: help install demo serve test mutants soak check bench docs fmt zoo eval fewer unequal four clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(DOCS): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[docs]'
	@touch $@ $(RUNTIME)

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(DOCS) $(RUNTIME)

install: $(RUNTIME) ## the server and its command `tie`, into .venv

demo: install ## three models answer a worksheet together, round by round
	$(BIN)/tie run "swp 314159; rev ------; dec 141421" --watch

serve: install ## the HTTP server with the embedded models, on 127.0.0.1
	$(BIN)/tie serve

test: $(DEV) ## every test, on two processes
	$(BIN)/python tests/fetch_tokenizers.py
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

mutants: $(DEV) ## plant each seeded bug in a copy, and see that the tests find it
	$(BIN)/python -m tests.reliability.run_mutants $(MUTANTS_ARGS)

soak: $(DEV) ## every test at full numbers, then ten minutes of load (SOAK_MINUTES=60 for an hour)
	$(BIN)/python tests/fetch_tokenizers.py
	$(BIN)/python -m pytest --full --timeout 1800 $(PYTEST_ARGS)
	$(BIN)/python -m tests.reliability.soak --minutes $(SOAK_MINUTES)

check: $(DEV) ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(DEV) ## time the server against a plain reference decoder, into docs/performance.md
	$(BIN)/python -m bench $(BENCH_ARGS)

docs: $(DOCS) ## the documentation as a site, into build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

fmt: $(DEV) ## rewrite the code in the house's format, and what is written from it: pages of docs/, dashboard
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python docs/map_files.py
	$(BIN)/python docs/list_settings.py
	$(BIN)/python docs/write_contracts.py
	$(BIN)/python docs/list_api.py
	$(BIN)/python docs/list_metrics.py
	$(BIN)/python docs/draw_run.py
	$(BIN)/python docs/draw_terminal.py
	$(BIN)/python docker/dashboard.py

zoo: install ## train the embedded models from nothing (on two cores half an hour with AVX-512, an hour without)
	$(BIN)/python -m tie_core.zoo.train

eval: $(DEV) ## measure the zoo, into docs/results.md and docs/results-tables.md; broken off, it goes on
	$(BIN)/tie eval zoo --out $(EVAL) --page docs/results.md --plots --choose $(ABLATION_ITEMS) --items $(ABLATION_ITEMS) \
		--among "$(EVAL_AMONG)" --conditions "post;tcc;chosen" --table main:$(EVAL_ITEMS) --table stability:$(EVAL_ITEMS) \
		$(addprefix --table ,injection switches change_rate interval acceleration normalisation cross_model selection)
	$(BIN)/tie eval zoo-tables --out $(EVAL) --page docs/results-tables.md --items $(TABLES_ITEMS) --conditions post,tcc,commit

fewer: $(DEV) ## measure what each way to spend fewer forwards costs, into docs/fewer-steps.md; broken off, it goes on
	$(BIN)/tie eval zoo --out $(EVAL) --page docs/fewer-steps.md --split validation --items $(ABLATION_ITEMS) --table fewer_steps

unequal: $(DEV) ## measure members with gaps of 0, 15 and 30 points, into docs/unequal-members.md; broken off, it goes on
	$(BIN)/python -m bench.unequal $(UNEQUAL_ARGS)

$(FOURTH)/model.safetensors: | $(DEV)
	$(BIN)/python -m tie_core.zoo.train --member $(notdir $(FOURTH)) --seed 4 --out $(dir $(FOURTH))

four: $(FOURTH)/model.safetensors ## train a fourth member (20 to 45 minutes), and measure all four, into docs/four-members.md
	$(BIN)/tie eval zoo --config bench/four.toml --out build/four --page docs/four-members.md --items $(FOUR_ITEMS) \
		--conditions "$(FOUR_CONDITIONS)"

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
