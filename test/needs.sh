#!/usr/bin/env bash
# Finds, or on a Debian-like system installs, what the tests need beside Go.
set -euo pipefail

install() {
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  echo "installing: $*"
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1 ||
    { $sudo apt-get update >/dev/null && $sudo apt-get install -y --no-install-recommends "$@" >/dev/null; }
}

missing=()
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v curl >/dev/null || missing+=(curl)
command -v strace >/dev/null || missing+=(strace)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import requests' 2>/dev/null || missing+=(python3-requests)
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || { echo "needed and not found: ${missing[*]}" >&2; exit 1; }
  install "${missing[@]}"
fi
echo "gcc $(gcc -dumpversion), node $(node --version), npm $(npm --version), requests for Python $(python3 -c 'import requests; print(requests.__version__)' 2>/dev/null || echo 'not for the python3 that is first in PATH')"
