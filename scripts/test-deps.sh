#!/usr/bin/env bash
# Install what the tests need and this machine lacks: Debian packages by apt,
# client libraries into test/interop (pip, npm, Maven), pinned there.
# Running it again does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
# want PACKAGE COMMAND...: install PACKAGE unless COMMAND succeeds.
want() {
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || packages+=("$package")
}
installed() { dpkg -s "$1"; }
php_has() { php -m | grep -x "$1"; }
# `java File.java` needs the compiler, which a bare JRE lacks.
java_compiles() { java --list-modules | grep '^jdk.compiler'; }
# Debian splits ensurepip, which venv needs, from python3.
venv_works() { python3 -c 'import ensurepip, venv'; }
# The server's programs, which are not on the PATH. Its cluster is not needed.
postgres_there() { compgen -G '/usr/lib/postgresql/*/bin/initdb'; }
sasl_has() { compgen -G "/usr/lib/*/sasl2/lib$1.so"; }

want ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
want git command -v git
want gcc command -v "$(go env CC)" # the race detector needs cgo
want libc6-dev test -e /usr/include/stdlib.h
want ldap-utils command -v ldapsearch
want libsasl2-modules sasl_has digestmd5
want slapd test -x /usr/sbin/slapd
want slapd-contrib installed slapd-contrib
want postgresql postgres_there
want php-cli command -v php
want php-ldap php_has ldap
want php-mbstring php_has mbstring
want nodejs command -v node
want npm command -v npm
want python3-venv venv_works
want default-jdk-headless java_compiles
want maven command -v mvn

if ((${#packages[@]})); then
	if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
		echo "missing, and only root can install them here: ${packages[*]}" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q
	# The tests start slapd and PostgreSQL themselves; the packages must start none.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
	fi
	if [[ " ${packages[*]} " == *" slapd "* ]]; then
		echo 'slapd slapd/no_configuration boolean true' | debconf-set-selections
	fi
	apt-get install -qy --no-install-recommends "${packages[@]}"
fi

# Each stamp holds the checksum of the file that pins the versions.
stale() { # stale STAMP FILE...
	local stamp=$1
	shift
	[ "$(cat "$stamp" 2>/dev/null)" != "$(cat "$@" | sha256sum)" ]
}
stamp() {
	local stamp=$1
	shift
	cat "$@" | sha256sum >"$stamp"
}

cd test/interop
if stale .venv/stamp requirements.txt; then
	python3 -m venv --clear .venv
	.venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	stamp .venv/stamp requirements.txt
fi
if stale node_modules/stamp package.json package-lock.json; then
	npm ci --no-audit --no-fund --ignore-scripts
	stamp node_modules/stamp package.json package-lock.json
fi
if stale java/target/stamp java/pom.xml; then
	rm -rf java/target
	mvn -q -B -f java/pom.xml dependency:copy-dependencies
	stamp java/target/stamp java/pom.xml
fi
