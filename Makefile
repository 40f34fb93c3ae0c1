# make demo    simulate an assistant, train, score, open the dashboard
# make setup   .venv with everything installed
# make test    lint, types, tests
# make exam    the tests that take longer: the reference assistant's, real logs, the whole demo and its incidents
# make coverage  make test, with the share of branches that tests reach
# make bench   the benchmarks, as a table; bench-dashboard: the pages', on large stores;
#              bench-rewrites: what rewrites are worth; bench-labels: what generated labels are
PYTHON ?= python3
BIN := .venv/bin
STORE ?= store
CORPORA ?= ../shared/corpora
READY := .venv/.ready

.PHONY: setup demo test tests coverage exam lint types bench bench-dashboard bench-rewrites bench-labels bench-cold bench-later bench-peers bench-capacity starter screenshots lock clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	# torch first and alone: it is pinned, so nothing that follows can pull a larger build.
	$(BIN)/pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,demo]'
	touch $@

demo: setup
	HF_HUB_OFFLINE=1 $(BIN)/faultline demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: setup
	$(BIN)/mypy

# The reference assistant's own tests, too, where something of it is not committed yet.
GROUP = $(shell git status --porcelain -- assistant 2>/dev/null | grep -q . && echo "-m 'not long'")
# One test process more than the usual two cores, as some of it is waiting; each would otherwise
# start a thread pool of its own per core. Tests of one file stay together, as they share what they
# build, until a process runs out of tests.
PYTEST = HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal

test: lint types tests

tests: setup
	$(PYTEST) $(GROUP)

coverage: lint types
	$(PYTEST) --cov --cov-report=term:skip-covered

exam: setup
	$(PYTEST) -m 'simulator or long'

bench: setup
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks

# STORE=folder of a scored demo store; makes copies of a million and of ten million turns.
bench-dashboard: setup
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.dashboard $(STORE)

# Measures rewrites again and writes the tables of docs/rewrites.md; CORPORA=folder of the corpora.
bench-rewrites: setup
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.document rewrites $(CORPORA)

# Measures generated labels and teaching again and writes the tables of docs/labels.md and
# docs/teaching.md.
bench-labels: setup
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.document labels $(CORPORA)

# Measures models without annotations, and with the first of them, and writes the tables of
# docs/evaluation.md.
bench-cold: setup
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.document cold $(CORPORA)

# Measures what to expect on later logs, and writes the tables of docs/evaluation.md.
bench-later: setup
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.document later $(CORPORA)

# Trains the packaged model that guesses stages where nobody annotated; see docs/cold-start.md.
starter: setup
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.starter

# Peers beside Faultline in one run, into docs/benchmarks.md; STORE=folder of a scored store. Installs
# the peers into .cache/peers, some 2 GB.
bench-peers: setup
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.document peers $(STORE)

# Measures the unit costs of docs/scale.md again; STORE=folder of a scored store.
bench-capacity: setup
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.document capacity $(STORE)

# STORE=folder of a scored store; needs a chromium on the PATH.
screenshots: setup
	$(BIN)/python -m docs.screenshots $(STORE)

# Write down what is installed now.
lock: setup
	( echo '# Exact versions of everything that `make setup` installs; made with: make lock'; \
	  $(BIN)/pip freeze --exclude-editable | grep -vi '^faultline' | sed 's/+cpu//' ) > constraints.txt

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
