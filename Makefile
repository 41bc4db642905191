# make lab and make test are complete on a machine with Python 3.10 or later,
# its venv module and make. The environment is made once, and again when it cannot be used. It is
# brought up to date when pyproject.toml or constraints.txt change.

PYTHON = python3
VENV = .venv
LESSONS = lessons
ARGS =

BIN = $(VENV)/bin
PINS := $(shell { cat pyproject.toml constraints.txt; pwd -P; } | cksum | cut -d ' ' -f 1)
READY = $(VENV)/pins-$(PINS)
# Two processes for each core: half of a live test is waiting.
PROCESSES = $$((2 * $$(getconf _NPROCESSORS_ONLN)))
PYTEST = $(BIN)/python -m pytest --numprocesses $(PROCESSES) -o cache_dir='$(CACHE)/pytest'
# Caches are kept in the environment: the checkout may be read-only.
CACHE = $(abspath $(VENV))/cache
export MYPY_CACHE_DIR = $(CACHE)/mypy
export RUFF_CACHE_DIR = $(CACHE)/ruff
export HYPOTHESIS_STORAGE_DIRECTORY = $(CACHE)/hypothesis
# The tests start Python some hundred times: each file is compiled once, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

# An environment is sound if its Python will do and its pip says that it is installed there: pip is
# missing where the making was cut short, does not start after a move or when Python was renewed,
# and tells another place in a copy.
VERSION = import sys; print(*sys.version_info[:2]); sys.exit(sys.version_info < (3, 10))
SOUND := $(shell $(BIN)/python -c '$(VERSION)' > /dev/null 2>&1 && \
    test "$$($(BIN)/pip --version 2> /dev/null | \
    sed 's,^pip .* from ,,; s,/lib[^/]*/[^/]*/site-packages/.*,,')" -ef $(VENV) && echo yes)
# PYTHON= on the command line asks for that version.
ifeq ($(firstword $(origin PYTHON)),command)
ifneq ($(shell $(PYTHON) -c '$(VERSION)' 2>&1),$(shell $(BIN)/python -c '$(VERSION)' 2>&1))
SOUND =
endif
endif

# JupyterLab asks every newcomer whether it may tell the news: not in this environment.
NEWS = @jupyterlab/apputils-extension:announcements

# A kernel of the same name in the user's home must not stand in for ours.
export JUPYTER_PREFER_ENV_PATH = 1
# Figures of tests go to files, never to a window.
unit elsewhere wheel: export MPLBACKEND = Agg

.PHONY: help env lab test begin lint types unit elsewhere lessons wheel record slides site nbgrader api pins clean

help:
	@echo "make lab      open copies of the lessons in JupyterLab (ARGS= passes options on)"
	@echo "              VENV= and LESSONS= name other folders for the environment and the copies"
	@echo "make test     everything CI runs, in five to six minutes: the next six"
	@echo "  lint        ruff: mistakes and format"
	@echo "  types       mypy --strict on the package"
	@echo "  unit        the tests (ARGS= passes options on)"
	@echo "  elsewhere   the tests without SIGHUP, epoll, poll and fork, as on Windows"
	@echo "  lessons     run every lesson and compare it with its stored outputs"
	@echo "  wheel       build sdist and wheel; try the wheel alone in a fresh environment"
	@echo "make record   run every lesson and store its outputs, normalised"
	@echo "make slides   make slides of the lessons, in slides/ (ARGS= names one lesson)"
	@echo "make site     build the course as static pages, in site/; PYODIDE= names the folder of"
	@echo "              npm's package pyodide, for the page that runs programs in the browser"
	@echo "make nbgrader  grade a lesson with nbgrader, in an environment of its own"
	@echo "make api      write docs/api.txt anew, after a change of the public names"
	@echo "make pins     resolve constraints.txt anew, for every Python from 3.10 on"
	@echo "make clean    remove the environment and what builds and tests left"

env: $(READY)

ifneq ($(SOUND),yes)
.PHONY: $(READY)
endif
$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and \
	    "fiberlab needs Python 3.10 or later, found " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
ifneq ($(SOUND),yes)
	@test -f $(VENV)/pyvenv.cfg || test -z "$$(find $(VENV) -type f 2> /dev/null | head -n 1)" || \
	    { echo "make: $(VENV) holds files and is no environment of Python: give another VENV=" >&2; exit 1; }
	@echo "make: installing into $(VENV), once: about a minute, and 500 MB"
	$(PYTHON) -m venv --clear $(VENV)
endif
	$(BIN)/python -m pip install $(if $(SOUND),--quiet) --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[lessons,test,replicator]'
	@$(BIN)/jupyter labextension disable $(NEWS) > /dev/null 2>&1
	@rm -f $(VENV)/pins-*
	@touch $@

# The copies hold all that they link to, so their folder may be anywhere.
lab: $(READY)
	@$(BIN)/python -m fiberlab.lab.notebooks copy notebooks '$(LESSONS)'
	$(BIN)/python -m jupyterlab --LabApp.default_url=/lab/tree/00_map.ipynb $(ARGS) '$(LESSONS)'

# The wheel is made while the lessons run: it takes one core, and they leave one half idle.
test: begin lint types unit elsewhere
	@$(MAKE) --no-print-directory --jobs=2 lessons wheel
	@echo "make test: all passed"

begin: $(READY)
	@echo "make test: five to six minutes on two cores"

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy

unit: $(READY)
	$(PYTEST) --dist worksteal $(ARGS)

# The site customisation in that folder also reaches the processes that tests start.
elsewhere: $(READY)
	PYTHONPATH='$(CURDIR)/tests/without_posix' $(PYTEST) --dist worksteal -m 'not once'

# A kernel puts figures into the cells only when no other backend was chosen.
lessons: $(READY)
	env -u MPLBACKEND PYTHONPATH='$(CURDIR)/tests' $(PYTEST) -p kernels_on_files --dist loadfile \
	    --nbval --nbval-current-env --nbval-cell-timeout=60 notebooks

wheel: $(READY)
	$(BIN)/python tests/wheel_check.py

record: $(READY)
	env -u MPLBACKEND $(BIN)/python -m fiberlab.lab.notebooks record $(or $(ARGS),notebooks)

slides: $(READY)
	@$(BIN)/python -m fiberlab.lab.notebooks slides $(or $(ARGS),notebooks) slides

site: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[site]'
	$(BIN)/python docs/site/build.py $(if $(PYODIDE),--pyodide '$(PYODIDE)') $(ARGS) site
	@echo "make: to read it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

nbgrader: $(READY)
	$(BIN)/python tests/nbgrader_check.py $(ARGS)

api: $(READY)
	$(BIN)/python tests/test_api.py --write

pins: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 \
	    --upgrade --no-annotate --custom-compile-command "make pins" --quiet \
	    --output-file constraints.txt

clean:
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
