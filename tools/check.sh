#!/usr/bin/env bash
# Lint, format, types, architecture and unit tests; stops at the first that is red.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
ruff check -q .
ruff format --check -q . || { echo "posguard: 'make fmt' puts these in form" >&2; exit 1; }
mypy
lint-imports --no-cache >/tmp/posguard-imports.$$ || { cat /tmp/posguard-imports.$$; rm -f /tmp/posguard-imports.$$; exit 1; }
rm -f /tmp/posguard-imports.$$
squawk --config .squawk.toml migrations/sql/*.sql
python -m pytest tests/unit -q "$@"
