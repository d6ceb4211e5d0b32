# The one door. `make help` lists what stands behind it.
SHELL := /usr/bin/env bash
.DEFAULT_GOAL := help
PY := .venv/bin/python

# Without caches every process compiles its imports anew: four seconds for ccxt alone.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s'|'

.PHONY: install
install: ## make .venv from the lock file; everything else does it by itself
	@tools/install.sh

.PHONY: demo
demo: intro install ## the main job on this machine: PostgreSQL, exchanges, Airflow, one reconciliation (ONCE=1 ends by itself)
	@exec .venv/bin/posguard demo $(if $(ONCE),--once)

.PHONY: intro
intro:
	@tools/intro.sh

.PHONY: check
check: install ## lint, types, architecture, unit tests: under a minute
	@tools/check.sh

.PHONY: test
test: check ## the whole suite on all cores, on the embedded server or the one of POSGUARD_TEST_DSN (ARGS=-n0: one process)
	@$(PY) -m pytest tests --ignore tests/unit -q -n logical --maxprocesses 4 --dist loadfile $(ARGS)

.PHONY: reliability
reliability: install ## all of the reliability suite in its long form, one table at the end (POSGUARD_SEED repeats it, PARTS=races,explore)
	@PARTS="$(PARTS)" ARGS="$(ARGS)" $(PY) tools/reliability.py

.PHONY: reliability-races
reliability-races: install ## 30 000 races of each scenario against the corrected core, about half an hour (RUNS=, SEED=, SCENARIOS=A,B)
	@$(PY) tools/reliability_races.py $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(SCENARIOS),--scenarios $(SCENARIOS))

.PHONY: reliability-explore
reliability-explore: install ## every schedule of every pair, 10 000 of larger sets, a death at each step (LIMIT=, DEATHS=, SAMPLES=, SEED=, PAIRS=1)
	@$(PY) tools/reliability_explore.py $(if $(LIMIT),--limit $(LIMIT)) $(if $(DEATHS),--deaths $(DEATHS)) $(if $(SAMPLES),--samples $(SAMPLES)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(PAIRS),--pairs)

.PHONY: bench-exchange
bench-exchange: install ## throughput of the exchange simulator; a snapshot of 5 000 positions beside bare ccxt
	@$(PY) tools/bench_simulator.py
	@$(PY) tools/bench_gateway.py

.PHONY: bench-core
bench-core: install ## opens a second and percentiles of the trading core beside the same SQL issued bare
	@$(PY) tools/bench_core.py $(ARGS)

.PHONY: reliability-cleanup
reliability-cleanup: install ## 1 000 cleanups beside a signal writer, and one killed at each of its steps (POSGUARD_SEED repeats one)
	@PARTS=cleanup ARGS="$(ARGS)" $(PY) tools/reliability.py

.PHONY: bench-cleanup
bench-cleanup: install ## 10 000 findings planned and stored; the bar is 5 s
	@$(PY) tools/bench_cleanup.py

.PHONY: bench-logs
bench-logs: install ## reading a bot's log of 1 GB beside ripgrep, the usual script and gzip -dc (SIZE= in MB, ROUNDS=, RG=path of ripgrep)
	@SIZE=$(SIZE) ROUNDS=$(ROUNDS) RG=$(RG) $(PY) tools/bench_logs.py

.PHONY: fuzz-logs
fuzz-logs: install ## 100 000 broken logs, about ten minutes (FILES=, POSGUARD_SEED repeats a run)
	@POSGUARD_FUZZ=$(or $(FILES),100000) $(PY) -m pytest tests/integration/test_logs_fuzz.py -q -s
.PHONY: bench-load
bench-load: install ## log events into PostgreSQL beside a bare COPY of the same rows (ARGS=--events N)
	@$(PY) tools/bench_load.py $(ARGS)

.PHONY: bench-analysis
bench-analysis: install ## the 14 sections of the analysis beside a million positions and ten million events; the bar is 20 s for eight hours (SIZE= positions)
	@$(PY) tools/bench_analysis.py $(if $(SIZE),--size $(SIZE)) $(ARGS)

.PHONY: bench-monitor
bench-monitor: install ## what the monitor costs beside a million positions and ten million events: under 100 ms a snapshot, under 1 % of a core (SIZE=, ARGS=--days N)
	@$(PY) -m tools.bench_monitor $(if $(SIZE),--size $(SIZE)) $(ARGS)

.PHONY: reliability-monitor
reliability-monitor: install ## the monitor killed two hundred times, and eight hours of a world of which each minute is known (POSGUARD_SEED repeats a run)
	@POSGUARD_RELIABILITY=long $(PY) -m pytest tests/integration/test_monitor_kills.py tests/integration/test_monitor_truth.py -q -s

.PHONY: reliability-logs
reliability-logs: install ## a load of logs killed a hundred times in the middle (POSGUARD_SEED repeats a run)
	@POSGUARD_RELIABILITY=long $(PY) -m pytest tests/integration/test_log_kills.py -q

.PHONY: backfill-logs
backfill-logs: install ## 30 days of archives through a running Airflow by `airflow backfill create`, counted, and again (ARGS=--days N)
	@$(PY) tools/backfill_logs.py $(ARGS)

.PHONY: backfill-audits
backfill-audits: install ## three days of audits through a running Airflow by `airflow backfill create`, each report looked for on the page, and again (ARGS=--days N)
	@$(PY) -m tools.backfill_audits $(ARGS)

.PHONY: fmt
fmt: install ## put the code in its form
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix -q .

.PHONY: docs
docs: install ## write the generated parts of docs/ anew
	@$(PY) tools/quality_table.py
	@$(PY) tools/demo_table.py
	@$(PY) tools/cli_docs.py

.PHONY: lock
lock: install ## compile requirements.lock and the image's docker/requirements.lock anew from pyproject.toml
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements.lock
	@.venv/bin/uv pip compile -q --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate \
	  --extra quality --extra report pyproject.toml docker/requirements.in -o docker/requirements.lock

.PHONY: clean
clean: ## remove what the demo and the tests keep (not .venv)
	@tools/clean.sh

.PHONY: bench-help
bench-help: install ## how long `posguard --help` takes: median of nine, beside a bare interpreter
	@$(PY) tools/bench_help.py
