#!/bin/sh
# Install ldapd as a systemd service, or remove it. See --help.
set -eu

usage() {
	cat <<'USAGE'
usage: scripts/install.sh [--uninstall [--purge]]

Run as root after `make build`. Running it again upgrades: the binary and the
unit are replaced, the configuration is kept, a running service is restarted.

  /usr/local/bin/ldapd                the binary
  /etc/ldapd/ldapd.yaml, users.yaml   written if missing
  /etc/systemd/system/ldapd.service   the unit
  user and group ldapd                made if missing

--uninstall removes binary and unit; with --purge also /etc/ldapd,
/var/lib/ldapd and the user.

DESTDIR=DIR puts the files below DIR and leaves users and services alone.
USAGE
}

cd "$(dirname "$0")/.."
root=${DESTDIR:-}
bin=$root/usr/local/bin/ldapd
etc=$root/etc/ldapd
unit=$root/etc/systemd/system/ldapd.service

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

# systemctl, where systemd runs and the files go to this machine.
service() {
	if [ -z "$root" ] && [ -d /run/systemd/system ]; then
		systemctl "$@"
	fi
}

uninstall() {
	if [ -e "$unit" ]; then
		service disable --now ldapd.service
	fi
	rm -f "$unit" "$bin"
	service daemon-reload
	if [ "$purge" = yes ]; then
		rm -rf "$etc" "$root/var/lib/ldapd"
		if [ -z "$root" ] && getent passwd ldapd >/dev/null; then
			userdel ldapd
		fi
		echo "ldapd and its configuration and state are removed"
	else
		echo "ldapd is removed; $etc and $root/var/lib/ldapd are kept (--purge removes them)"
	fi
}

# keep SOURCE TARGET: copy where there is no TARGET yet.
keep() {
	if [ -e "$2" ]; then
		echo "kept     $2"
	else
		install -m 0640 "$1" "$2"
		if [ -z "$root" ]; then chgrp ldapd "$2"; fi
		echo "wrote    $2"
	fi
}

install_all() {
	[ -x bin/ldapd ] || fail "bin/ldapd is missing: run make build first"
	if [ -z "$root" ] && ! getent passwd ldapd >/dev/null; then
		useradd --system --user-group --no-create-home --home-dir /nonexistent \
			--shell /usr/sbin/nologin ldapd
	fi
	install -D -m 0755 bin/ldapd "$bin"
	echo "wrote    $bin"
	install -d -m 0750 "$etc"
	if [ -z "$root" ]; then chgrp ldapd "$etc"; fi
	keep ldapd.example.yaml "$etc/ldapd.yaml"
	keep deploy/config/users.yaml "$etc/users.yaml"
	install -D -m 0644 scripts/ldapd.service "$unit"
	echo "wrote    $unit"
	service daemon-reload
	service try-restart ldapd.service
	cat <<NEXT

Next:
  edit $etc/ldapd.yaml and $etc/users.yaml
  ldapd check --config /etc/ldapd/ldapd.yaml
  systemctl enable --now ldapd
NEXT
}

action=install_all
purge=no
for arg; do
	case $arg in
	--uninstall) action=uninstall ;;
	--purge) purge=yes ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
done
if [ "$purge" = yes ] && [ "$action" != uninstall ]; then fail "--purge goes with --uninstall"; fi
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then fail "run it as root"; fi
$action
