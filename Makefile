# SPDX-License-Identifier: MIT
# `make lab` serves the course and `make test` checks everything; both make what they need first.

PORT ?= 8888
# The distribution's own Python if it will do: every user may read it, so a notebook can be run as another user,
# and the distribution's modules (bcc) fit it.
NEW := -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(shell for p in /usr/bin/python3 python3; do $$p $(NEW) && echo $$p && break; done)
PY := .venv/bin/python
CORE := rtnb/_core/rtnb-core
PREPARE = $(if $(shell $(or $(PYTHON),false) $(NEW) && echo yes),$(PYTHON) .ci/prepare.py,$(error \
	rtnb needs Python 3.11 or newer, and $(or $(PYTHON),python3) is not: name one, as in make PYTHON=python3.12))

.PHONY: help lab test bench docs record lock clean
help:
	@echo 'make lab [PORT=8888]  serve the course on this machine, in JupyterLab'
	@echo 'make test             lint, types, every test, every notebook'
	@echo 'make bench            rtnb and its peers, side by side, as one table'
	@echo 'make docs             write the generated pages of docs/ anew'
	@echo 'make record           run the notebooks live; store their outputs and the recordings of data/ anew'
	@echo 'make lock             choose the pinned versions anew'
	@echo 'make clean            as cloned'

lab:
	@$(PREPARE) lab --port $(PORT)
	@$(MAKE) --silent $(CORE)
	@$(PY) -m rtnb doctor
	@echo 'JupyterLab on http://127.0.0.1:$(PORT) until Ctrl-C. With its token:'
	@$(PY) -m jupyterlab --ServerApp.ip=127.0.0.1 --port=$(PORT) --ServerApp.port_retries=0 --allow-root \
		--ServerApp.root_dir='$(CURDIR)' --LabApp.default_url=/lab/tree/notebooks/00-start-here.ipynb \
		--KernelManager.transport_encryption=auto --log-level=WARN $(if $(DISPLAY)$(WAYLAND_DISPLAY),,--no-browser)

test: ready
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -m pytest --durations=10

# SimSo is a peer of the bench alone, and old: it is no part of what is locked.
bench: ready
	@$(PY) -c 'import simso' 2>/dev/null || $(PY) -m pip install --quiet simso==0.8.5
	$(PY) -m bench

docs: ready
	$(PY) docs/generate.py

RECORD := from pathlib import Path; from rtnb.magics.record import record; \
	[record(book.resolve()) for book in sorted(Path("notebooks").glob("*.ipynb"))]
record: ready
	$(PY) -c '$(RECORD)'

.PHONY: ready
ready:
	@$(PREPARE) test
	@$(MAKE) --silent $(CORE)

$(CORE): $(wildcard rtnb/_core/*.[ch]) rtnb/_core/build.py
	@$(PY) rtnb/_core/build.py

LOCK := PYTHONPATH=build/uv $(PY) -m uv pip compile --quiet --system-certs --upgrade \
	--universal --python-version 3.11 --no-header --no-annotate
lock: ready
	$(PY) -m pip install --quiet --upgrade --target build/uv uv
	$(LOCK) --generate-hashes --extra test pyproject.toml -o requirements.lock
	$(LOCK) --extra notebook -c requirements.lock pyproject.toml -o binder/requirements.txt

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis $(CORE)
	find . -name __pycache__ -prune -exec rm -rf {} +
