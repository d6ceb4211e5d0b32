#!/usr/bin/env bash
# Makes .venv from requirements.lock: asks nothing, and says in one line what stands in its way.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'posguard: %s\n' "$1" >&2; exit 3; }
stamp=.venv/.posguard-installed
want=$(cat requirements.lock pyproject.toml | cksum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3.11 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then python=$candidate; break; fi
  done
fi
[ -z "$python" ] || "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || fail "$python is not Python 3.11, the version that is tested; nothing was changed. Install 3.11, or leave PYTHON unset"
[ -n "$python" ] || fail "Python 3.11 was not found; nothing was changed. Install it, or name it: make install PYTHON=/path/to/python3.11"
"$python" -c 'import venv, ensurepip' 2>/dev/null || fail "this Python has no venv module; nothing was changed. On Debian or Ubuntu: apt-get install python3.11-venv"
free_mb=$(df -Pm . | awk 'NR==2 {print $4}')
[ "$free_mb" -ge 2000 ] || fail "only $free_mb MB are free here and 2000 are needed; nothing was changed. Free some disk and run it again"

printf 'posguard: making .venv (about 350 MB to download when nothing is cached, 1 GB on disk)\n' >&2
if ! [ -x .venv/bin/python ] || ! .venv/bin/python -c '' 2>/dev/null; then
  rm -rf .venv
  "$python" -m venv .venv || { rm -rf .venv; fail "the virtual environment could not be made (see above); .venv was removed"; }
fi
# uv is taken from the same lock, with its hashes, and installs the rest many times faster than pip.
lock_of_uv=$(mktemp)
trap 'rm -f "$lock_of_uv"' EXIT
awk '/^uv==/ {on=1} on {print} on && !/\\$/ {exit}' requirements.lock > "$lock_of_uv"
.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r "$lock_of_uv" 2>"$lock_of_uv.err" \
  || { tail -n 3 "$lock_of_uv.err" >&2; rm -f "$lock_of_uv.err"; fail "the package index could not be reached or is out of disk (see above); .venv is incomplete. Run it again"; }
rm -f "$lock_of_uv.err"
# uv brings its own list of authorities, which a company's proxy is not in: the system's list is the second try. pip knows
# indexes of its own configuration that uv does not read: it is the third.
uv_install() { .venv/bin/uv pip install -q --python .venv/bin/python --require-hashes -r requirements.lock "$@"; }
uv_install 2>/dev/null || uv_install --system-certs \
  || { printf 'posguard: uv could not install; trying pip, which takes a minute or two\n' >&2
       .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock; } \
  || fail "the packages could not be installed (see above); .venv is incomplete. Run it again"
.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . \
  || fail "posguard itself could not be installed into .venv (see above). Run it again"
printf '%s' "$want" > "$stamp"
