#!/bin/sh
# Builds a release: an executable for each platform, what they are made of (CycloneDX), and the checksums of all of it.
#   ./release.sh                                  all platforms, into dist/release
#   ./release.sh --targets "linux-x64 linux-arm64" some of them, in Bun's names without "bun-"
#   ./release.sh --out DIR                        somewhere else
# The folder is served as it is; config/deploy/install.sh fetches from it.
set -eu
cd "$(dirname "$0")"

targets='linux-x64 linux-arm64 linux-x64-musl linux-arm64-musl darwin-x64 darwin-arm64 windows-x64' out=dist/release
while [ $# -gt 0 ]; do
  case "$1" in
    --targets) targets=${2:?--targets takes names of platforms}; shift 2 ;;
    --out) out=${2:?--out takes a folder}; shift 2 ;;
    *) echo "release.sh: unknown option $1; it takes --targets and --out" >&2; exit 2 ;;
  esac
done
for target in $targets; do
  case "$target" in
    linux-x64 | linux-arm64 | linux-x64-musl | linux-arm64-musl | darwin-x64 | darwin-arm64 | windows-x64) ;;
    *) echo "release.sh: no platform $target" >&2; exit 2 ;;
  esac
done

version=$(sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' deno.json | head -n 1)
mkdir -p "$out"
for target in $targets; do
  ending=
  case "$target" in windows-*) ending=.exe ;; esac
  ./compile.sh --target "bun-$target" --out "$out/wsprism-$version-$target$ending"
done
node_modules/bun/bin/bun.exe --no-env-file --config=/dev/null config/deploy/parts.ts > "$out/wsprism-$version.cdx.json"
# Of this release only: a folder may hold others.
(cd "$out" && sha256sum "wsprism-$version-"* "wsprism-$version.cdx.json" > SHA256SUMS)
echo "$out: $(wc -l < "$out/SHA256SUMS") files, their checksums in SHA256SUMS"
