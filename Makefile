# The commands of this project; CI runs the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
DEMO := data/demo
IMAGES ?= 2500
PORT ?= 8000
CONTAINERS ?= docker

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage check format images smoke lock clean

help: ## show the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## install everything into .venv

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[api,worker,indexer,evaluate,train,dev]"
	@touch $@

demo: $(READY) ## set up, build the demo gallery, serve page and API on localhost
	@test -f $(DEMO)/manifest.jsonl || $(BIN)/python -m indexer demo --out $(DEMO) --images $(IMAGES)
	$(BIN)/python -m indexer build --manifest $(DEMO)/manifest.jsonl
	$(BIN)/python -m app --port $(PORT)

# two at a time, with a thread each: many tests wait for processes to start
test: $(READY) ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

coverage: $(READY) ## run the tests, print the files covered below 90 % and the total; TESTS=tests/app
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report= $(TESTS)
	@$(BIN)/coverage report | awk 'NR == 1 || /^TOTAL/ || (/%$$/ && $$NF + 0 < 90)'

check: $(READY) ## formatting, lint, types, import rules, the page's JavaScript
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/oxlint --quiet app/api/static

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

images: ## build the three container images
	docker compose --profile demo build

smoke: $(READY) ## start the demo profile in containers, search, lose a worker; CONTAINERS=docker or podman
	CONTAINERS=$(CONTAINERS) $(BIN)/python -m pytest tests/containers -s

lock: $(READY) ## resolve all dependencies anew into requirements.lock
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --all-extras --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --quiet -o requirements.lock pyproject.toml

clean: ## remove the environment, caches and built galleries
	rm -rf $(VENV) data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* *.egg-info
