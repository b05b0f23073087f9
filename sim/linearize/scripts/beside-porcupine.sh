#!/usr/bin/env bash
# Judges the same files with this crate and, where Go is installed, with porcupine, and prints both times.
#
#   scripts/beside-porcupine.sh FILE...     porcupine's key-value text, uncompressed
#
# The go tool fetches porcupine into a scratch module; PORCUPINE_VERSION chooses one. PORCUPINE_DIR names a copy
# on this machine instead, and nothing is fetched.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
for file in "$@"; do
    [ -r "$file" ] || { echo "$file: cannot be read" >&2; exit 2; }
done

(cd "$here" && cargo build --quiet --release --example judge)
target=$(cd "$here" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
"$target/release/examples/judge" --no-witness "$@"

if ! command -v go >/dev/null; then
    echo "porcupine: not run, Go is not installed" >&2
    exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$here/scripts/porcupine.go" "$scratch/main.go"
copy=${PORCUPINE_DIR:+$(cd "$PORCUPINE_DIR" && pwd)}
(
    cd "$scratch"
    go mod init beside >/dev/null 2>&1
    if [ -n "$copy" ]; then
        go mod edit -require github.com/anishathalye/porcupine@v0.0.0 \
            -replace "github.com/anishathalye/porcupine=$copy"
    else
        go get "github.com/anishathalye/porcupine@${PORCUPINE_VERSION:-latest}" >/dev/null
    fi
    go vet -mod=mod .
    go build -mod=mod -o beside .
) || { echo "porcupine: not run, it could not be built; PORCUPINE_DIR can name a copy of its source" >&2; exit 1; }
"$scratch/beside" "$@"
