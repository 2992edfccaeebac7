#!/usr/bin/env bash
# Run every fuzz target of every package of both modules for FUZZTIME, one after
# the other: go test takes one target at a time.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}
time=${FUZZTIME:-60s}

n=0
for module in . test; do
	for pkg in $("$go" list -C "$module" ./...); do
		for target in $("$go" test -C "$module" -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
			echo "== $pkg $target ($time)"
			"$go" test -C "$module" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "$pkg"
			n=$((n + 1))
		done
	done
done
echo "$n fuzz targets, no findings"
