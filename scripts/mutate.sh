#!/usr/bin/env bash
# Say which conditions of packages their tests do not look at, for instance
#
#   scripts/mutate.sh -since /tmp/mutants ./internal/mfa ./internal/bind
#
# Run by hand: it takes seconds for each condition. -h lists the flags.
# Survivors that are right are in scripts/mutate-accepted.txt, with the reason.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -C test -o "$bin/mutate" ./mutate
ulimit -v $((8 * 1024 * 1024)) # KiB: a loop made endless must not take all memory
"$bin/mutate" -accepted scripts/mutate-accepted.txt "$@"
