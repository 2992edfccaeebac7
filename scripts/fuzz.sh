#!/usr/bin/env bash
# Run every fuzz target of every package for FUZZTIME, one after the other:
# go test takes one target at a time.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}
time=${FUZZTIME:-60s}

n=0
for pkg in $("$go" list ./...); do
	for target in $("$go" test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
		echo "== $pkg $target ($time)"
		"$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "$pkg"
		n=$((n + 1))
	done
done
echo "$n fuzz targets, no findings"
