#!/usr/bin/env bash
# What the demo will need, before anything begins.
cd "$(dirname "$0")/.." || exit 1
[ -f .venv/.posguard-installed ] && first="nothing to download" || first="the first time about 350 MB of packages to download, unless cached"
printf 'posguard demo: %s; 1.5 GB on disk; about 2.5 GB of memory; 1 to 4 minutes.\n' "$first" >&2
printf 'Everything listens on 127.0.0.1 and ends with Ctrl+C. Data lie in .posguard; `make clean` removes them.\n' >&2
