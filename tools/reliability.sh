#!/usr/bin/env bash
# Everything that shows what the core promises, in its long form. All of it runs, whatever goes wrong on the way.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
export POSGUARD_SEED=${POSGUARD_SEED:-$((RANDOM * 32768 + RANDOM))}
echo "POSGUARD_SEED=$POSGUARD_SEED"
red=()
POSGUARD_RELIABILITY=long python -m pytest tests/reliability -q ${ARGS:-} || red+=(tests/reliability)
for part in reliability-races reliability-explore; do
  if make -n "$part" >/dev/null 2>&1; then
    make --no-print-directory "$part" || red+=("$part")
  fi
done
if ((${#red[@]})); then
  echo "posguard: red: ${red[*]} (POSGUARD_SEED=$POSGUARD_SEED repeats it)" >&2
  exit 1
fi
echo "reliability: green"
