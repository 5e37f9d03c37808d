#!/bin/sh
# Installs the executable of a release (see release.sh) once its checksum holds.
#   sh install.sh --from https://downloads.example.com/wsprism/1.0.0     where the release is: a URL, or a folder
#   sh install.sh --from … --to /usr/local/bin                           where it is to be (default: /usr/local/bin)
#   sh install.sh --from … --sha256 HEX                                  checks against this sum rather than SHA256SUMS
# A sum from the place of the file finds a broken download; one that you were told elsewhere finds a forged file too.
set -eu

say() { echo "install.sh: $*" >&2; }
fail() { say "$@"; exit 1; }
usage() { say "$@"; exit 2; }

from='' to=/usr/local/bin sum=''
while [ $# -gt 0 ]; do
  case "$1" in
    --from) from=${2:?--from takes a URL or a folder}; shift 2 ;;
    --to) to=${2:?--to takes a folder}; shift 2 ;;
    --sha256) sum=${2:?--sha256 takes 64 digits}; shift 2 ;;
    *) usage "unknown option $1; it takes --from, --to and --sha256" ;;
  esac
done
[ -n "$from" ] || usage "--from says where the release is"

case "$(uname -s)" in
  Linux) os=linux ;;
  Darwin) os=darwin ;;
  *) fail "no executable for $(uname -s); build one with ./compile.sh" ;;
esac
case "$(uname -m)" in
  x86_64 | amd64) machine=x64 ;;
  aarch64 | arm64) machine=arm64 ;;
  *) fail "no executable for $(uname -m); build one with ./compile.sh" ;;
esac
target=$os-$machine
# Alpine and others have another C library.
if [ "$os" = linux ] && ls /lib/ld-musl-* >/dev/null 2>&1 && ! ls /lib*/ld-linux* /lib/*/ld-linux* >/dev/null 2>&1; then
  target=$target-musl
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# get NAME FILE: a file of the release.
get() {
  case "$from" in
    https://* | http://127.0.0.1:* | http://localhost:*)
      if command -v curl >/dev/null; then curl -fsSL --retry 2 -o "$2" "$from/$1"
      elif command -v wget >/dev/null; then wget -q -O "$2" "$from/$1"
      else fail "neither curl nor wget is here"; fi || fail "cannot fetch $from/$1" ;;
    http://*) fail "$from is not encrypted; use https" ;;
    *) cp "$from/$1" "$2" 2>/dev/null || fail "there is no $from/$1" ;;
  esac
}

get SHA256SUMS "$work/SHA256SUMS"
line=$(grep -E "^[0-9a-f]{64}  wsprism-[0-9][0-9A-Za-z.+-]*-$target\$" "$work/SHA256SUMS" || true)
[ -n "$line" ] || fail "the release has nothing for $target"
[ "$(printf '%s\n' "$line" | wc -l)" -eq 1 ] || fail "SHA256SUMS names several releases; --from names one of them"
name=${line#*  }
[ -n "$sum" ] || sum=${line%% *}
get "$name" "$work/wsprism"
if command -v sha256sum >/dev/null; then real=$(sha256sum "$work/wsprism"); else real=$(shasum -a 256 "$work/wsprism"); fi
[ "${real%% *}" = "$sum" ] || fail "$name is not what its checksum says (${real%% *}, not $sum); nothing is installed"

mkdir -p "$to" 2>/dev/null && [ -w "$to" ] || fail "cannot write to $to; run this as somebody who may, or name another folder with --to"
chmod 755 "$work/wsprism"
# Another name first: an executable that runs cannot be written over, but its name can be given away.
cp "$work/wsprism" "$to/.wsprism.new" && mv "$to/.wsprism.new" "$to/wsprism"
"$to/wsprism" version
say "$to/wsprism is installed; next: wsprism init"
