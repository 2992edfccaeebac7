#!/usr/bin/env bash
# Try what README promises on a bare machine: run `make demo` (stopped once it
# serves) and `make test`, or the one that is named, in a new Debian of this
# machine's release that has nothing but Go, git and make. The last commit is
# what it tries. Needs root, debootstrap, and some 4 GB below TMPDIR.
#
#   scripts/bare.sh [demo | test]
#
# BARE_MODCACHE=DIR shares a module cache instead of downloading all modules.
#
# Mounts and processes live in namespaces that end with the script, whichever
# way it ends; the network is this machine's.
set -euo pipefail

fail() {
	echo "bare.sh: $*" >&2
	exit 1
}

# inside is the part that runs in the namespaces: ROOT is the new machine's.
inside() {
	local root=$1 command
	shift
	trap '(($? == 0)) || echo "bare.sh: failed: $doing" >&2' EXIT

	step 'debootstrap'
	# ca-certificates comes with git wherever recommended packages do.
	debootstrap --variant=minbase --include=ca-certificates,git,make \
		"$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" "$(mirror)" >"$root.log" 2>&1 ||
		{ tail "$root.log" >&2 && return 1; }
	mount -t proc proc "$root/proc"
	mount -t sysfs -o ro sysfs "$root/sys"
	mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
	mkdir -p "$root/dev/shm"
	mount -t tmpfs tmpfs "$root/dev/shm"
	printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"

	step 'the configuration of apt, the certificates, Go and the tree'
	rm -f "$root/etc/apt/sources.list"
	cp -a /etc/apt/. "$root/etc/apt"
	cp -a /usr/share/keyrings/. "$root/usr/share/keyrings"
	if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
		cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates"
		chroot "$root" update-ca-certificates >/dev/null
	fi
	cp -a "$(go env GOROOT)/." "$root/usr/local/go"
	git clone -q --no-hardlinks . "$root/src"
	if [ -n "${BARE_MODCACHE-}" ]; then
		mkdir -p "$root/root/go/pkg/mod"
		mount --bind "$BARE_MODCACHE" "$root/root/go/pkg/mod"
	fi

	for command; do
		step "make $command"
		"try_$command" "$root"
	done
	echo "bare.sh: passed: make $*, in $((SECONDS / 60)) minutes"
}

# step NAME: say what is done from here on, now and if it fails.
step() {
	doing=$1
	echo "== bare.sh: $doing"
}

mirror() {
	apt-get indextargets --format '$(REPO_URI)' "Codename: $(. /etc/os-release && echo "$VERSION_CODENAME")" |
		head -n 1 | grep .
}

# as_new ROOT COMMAND...: run COMMAND in the tree on the new machine. Of this
# machine's environment it has the way into the network. pip and node have
# certificates of their own unless they are told.
as_new() {
	local root=$1 name network=()
	shift
	for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY GOPROXY GOSUMDB; do
		[ -z "${!name-}" ] || network+=("$name=${!name}")
	done
	chroot "$root" /usr/bin/env -i -C /src HOME=/root TERM=dumb PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		PIP_CERT=/etc/ssl/certs/ca-certificates.crt NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
		"${network[@]}" "$@"
}

try_demo() {
	local root=$1 demo
	set -m # for a process group of its own, as a terminal gives
	as_new "$root" make demo >"$root/demo.log" 2>&1 &
	demo=$!
	set +m
	until grep -qs '"msg":"serving"' "$root/demo.log"; do
		kill -0 "$demo" 2>/dev/null || { cat "$root/demo.log" >&2 && return 1; }
		sleep 1
	done
	(exec 3<>/dev/tcp/127.0.0.1/3389) || return 1
	kill -INT -- "-$demo" # Ctrl-C
	wait "$demo" || true # which make counts as a failure
}

try_test() {
	local root=$1
	as_new "$root" make test 2>&1 | tee "$root/test.log" || {
		echo '== bare.sh: what failed' >&2
		grep -E '^ *--- FAIL|^FAIL|^panic:|^make: |^E: ' "$root/test.log" >&2
		return 1
	}
}

cd "$(dirname "$0")/.."
if [ "${1-}" = --inside ]; then
	shift
	inside "$@"
	exit
fi

case $* in
'') set -- demo test ;;
demo | test) ;;
*) fail 'usage: scripts/bare.sh [demo | test]' ;;
esac
[ "$(id -u)" = 0 ] || fail 'only root can make a new machine'
command -v debootstrap >/dev/null || fail 'debootstrap is missing (apt-get install debootstrap)'

dir=$(mktemp -d -t ldapd-bare.XXXXXX)
chmod 755 "$dir" # PostgreSQL does not run as root, and must get through
trap 'rm -rf --one-file-system "$dir"' EXIT
unshare --mount --pid --ipc --fork --kill-child scripts/bare.sh --inside "$dir/root" "$@" &
trap '{ kill -KILL $! && wait; } 2>/dev/null; exit 130' INT TERM HUP
wait $!
