#!/bin/sh
# Three nodes and NATS on this machine, to try: ./try.sh [the wsprism command]. Ctrl-C ends all of them.
# Clients connect to ws://127.0.0.1:8081/v1/ws?tenant=acme&ticket=dev:ann, and to 8082 and 8083.
set -eu
cd "$(dirname "$0")"
wsprism=${1:-wsprism}
for needed in nats-server "$wsprism"; do
  command -v "$needed" > /dev/null || { echo "try.sh needs $needed" >&2; exit 1; }
done
nats-server -a 127.0.0.1 -p 4222 > /dev/null 2>&1 &
running=$!
trap 'kill $running 2> /dev/null; wait' EXIT
trap 'exit 0' INT TERM
for number in 1 2 3; do
  WSPRISM_LISTEN=127.0.0.1:808$number WSPRISM_NODE=node-$number WSPRISM_ADMIN=127.0.0.1:909$number \
    "$wsprism" start --config node.yaml --dev &
  running="$running $!"
done
wait
