#!/usr/bin/env bash
# Judges the same files with this crate and, where Go is installed, with porcupine, and prints both times.
#
#   scripts/beside-porcupine.sh FILE...     porcupine's key-value text, uncompressed
#
# porcupine is fetched by the go tool into a scratch module; give PORCUPINE_VERSION to choose one.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2; }

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
(
    cd "$scratch"
    go mod init beside >/dev/null 2>&1
    go get "github.com/anishathalye/porcupine@${PORCUPINE_VERSION:-latest}" >/dev/null
    go build -o beside .
)
"$scratch/beside" "$@"
