#!/usr/bin/env bash
# Removes the demo's folder, and as root the temporary one in which PostgreSQL's data lies (recorded in the first).
set -euo pipefail
cd "$(dirname "$0")/.."
record=.posguard/pgdata.path
if [ -f "$record" ]; then
  data=$(cat "$record")
  case "$data" in
    */posguard-pg-*) rm -rf -- "$data" ;;
    *) printf 'posguard: %s names no folder of ours; left alone\n' "$record" >&2 ;;
  esac
fi
rm -rf .posguard .mypy_cache .ruff_cache .pytest_cache .hypothesis
