#!/usr/bin/env bash
# Lint, format, types, architecture and migrations beside the unit tests, so that two cores both have work.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
said=$(mktemp)
trap 'rm -f "$said"' EXIT

still() {
  ruff check -q . || return 1
  ruff format --check -q . || { echo "posguard: 'make fmt' puts these in form"; return 1; }
  mypy --no-error-summary || return 1
  lint-imports --no-cache || return 1
  squawk --config .squawk.toml migrations/sql/*.sql || return 1
}

still >"$said" 2>&1 &
checks=$!
tests=0
python -m pytest tests/unit -q "$@" || tests=$?
if ! wait "$checks"; then
  cat "$said"
  echo "posguard: lint, types or architecture are red (above)" >&2
  exit 1
fi
echo "lint, format, types, architecture, migrations: green"
exit "$tests"
