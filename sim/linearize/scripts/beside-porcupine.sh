#!/usr/bin/env bash
# Judges the same files with this crate and, where Go is installed, with porcupine: milliseconds of processor time of one
# check in memory, the best of three rounds: the verdict here, with its contradiction made small in brackets, which
# porcupine does not try, the verdict there.
#
#   scripts/beside-porcupine.sh FILE...     porcupine's key-value text or its Jepsen logs, uncompressed
#
# The go tool fetches porcupine into a scratch module; PORCUPINE_VERSION chooses one. PORCUPINE_DIR names a copy
# on this machine instead, and nothing is fetched. PORCUPINE_SECONDS bounds its time for a file; the default is 10.
# The exit code is 1 if the two disagree.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
for file in "$@"; do
    [ -r "$file" ] || { echo "$file: cannot be read" >&2; exit 2; }
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

(cd "$here" && cargo build --quiet --release --example measure)
target=$(cd "$here" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
"$target/release/examples/measure" times "$@" >"$scratch/own"

if ! command -v go >/dev/null; then
    cat "$scratch/own"
    echo "porcupine: not run, Go is not installed" >&2
    exit 0
fi
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
"$scratch/beside" "${PORCUPINE_SECONDS:-10}" "$@" >"$scratch/peer"

paste "$scratch/own" "$scratch/peer" | awk -F'\t' '
    {
        name = $1; sub(/.*\//, "", name)
        finished = $9 != "Unknown" && $5 != "undecided"
        printf "%-44s %7d %-9s %9.4f ms (%9.4f) %12.4f ms %s%.1f x\n", \
            name, $2, $5, $3, $4, $8, $9 == "Unknown" ? "> " : "", $8 / $3
        if (finished && ($5 == "legal") != ($9 == "Ok")) { print "  porcupine says " $9; differ++ }
        if (!finished) { open++; next }
        own += $3; small += $4; peer += $8; both++
        if ($8 < $3) slower++
        if (!worst || $8 / $3 < worst) { worst = $8 / $3; where = name }
    }
    END {
        if (both) printf "%d that both decided: %.2f ms (%.2f) and %.2f ms in sum, %.1f x; %d slower here, the worst %.2f x, %s\n", \
            both, own, small, peer, peer / own, slower, worst, where
        printf "%d not decided by one of them; %d disagreements\n", open, differ
        exit differ > 0
    }'
