#!/bin/sh
# Builds dist/wsprism: one executable that needs nothing but its configuration.
#   ./compile.sh                                  for this machine, with Bun
#   ./compile.sh --target bun-linux-arm64         for another one (Bun's names; see docs/operations.md)
#   ./compile.sh --runtime deno [--target T]      with Deno (T in Deno's names, such as x86_64-pc-windows-msvc)
#   ./compile.sh --out FILE                       somewhere else
set -eu
cd "$(dirname "$0")"

runtime=bun target='' out=dist/wsprism
while [ $# -gt 0 ]; do
  case "$1" in
    --runtime) runtime=${2:?--runtime takes bun or deno}; shift 2 ;;
    --target) target=${2:?--target takes the name of a platform}; shift 2 ;;
    --out) out=${2:?--out takes a path}; shift 2 ;;
    *) echo "compile.sh: unknown option $1; it takes --runtime, --target and --out" >&2; exit 2 ;;
  esac
done
if [ ! -d node_modules ]; then
  echo "compile.sh: no dependencies yet; run: npx -y deno@2.9.6 install --frozen" >&2
  exit 1
fi

version=$(sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' deno.json | head -n 1)
commit=${WSPRISM_COMMIT:-$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)} # told where git is not
if [ "$commit" != unknown ] && [ -n "$(git status --porcelain --untracked-files=no 2>/dev/null)" ]; then
  commit="$commit+changes"
fi
mkdir -p dist "$(dirname "$out")"

# A worker is a further entry, found by its path (see src/config/file_source.ts).
workers='src/config/load_worker.ts src/state/state_worker.ts src/extension/host/script_worker.ts'
workers="$workers src/extension/host/wasm_worker.ts"
# The entry differs from main.ts in what it knows of its own build. It stands beside main.ts, so that imports and
# the lock file hold for it as well.
entry=.build_main.ts
trap 'rm -f "$entry"' EXIT
cat > "$entry" <<ENTRY
import process from "node:process";
import { run } from "./src/cli/mod.ts";
process.exitCode = await run(process.argv.slice(2), { version: "$version", commit: "$commit" });
ENTRY

case "$runtime" in
  bun)
    # What lies in the folder of a start configures nothing, neither the building nor the built.
    node_modules/bun/bin/bun.exe build --no-env-file --config=/dev/null --compile \
      --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
      --no-compile-autoload-tsconfig --no-compile-autoload-package-json --minify --sourcemap=none --bytecode --format=esm \
      --target "${target:-bun}" --outfile "$out" "$entry" $workers >&2
    ;;
  deno)
    env=$(sed -n 's/.*\(--allow-env=[A-Z_,*]*\).*/\1/p' deno.json | head -n 1)
    deno compile -q --frozen --no-prompt --unstable-worker-options --unstable-net --allow-net --allow-read --allow-write "$env" ${target:+--target "$target"} \
      $(printf -- '--include %s ' $workers) --output "$out" "$entry" >&2
    ;;
  *) echo "compile.sh: --runtime takes bun or deno, not $runtime" >&2; exit 2 ;;
esac
echo "$out: wsprism $version (commit $commit, $runtime${target:+, $target})"
