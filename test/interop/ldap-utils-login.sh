#!/bin/sh
# Logins with OpenLDAP's tools: ldapsearch looks names up as the service account,
# on a connection that stays open, while ldapwhoami binds as the user.
users="ou=users,$BASE"
cd "$HOME" || exit
mkfifo names

# Opens the connection. Each name that is written to 3 is looked up.
open() {
	: >found
	looked=0
	ldapsearch -x -H "$LDAP_URL" -LLL -D "cn=ldapservice,$users" -w demo-ldapservice \
		-b "$users" -f - '(&(objectClass=user)(uid=%s))' 1.1 <names >found 2>&1 &
	exec 3>names
}

# Looks a name up, and waits for the entry.
look() {
	echo "search $1"
	echo "$1" >&3
	looked=$((looked + 1))
	tries=0
	until [ "$(grep -c ^dn: found)" -eq $looked ]; do
		tries=$((tries + 1))
		[ $tries -lt 1000 ] || exit
		sleep 0.02
	done
}

# Closes the connection, and shows what was found.
close() {
	exec 3>&-
	wait
	grep . found
	echo
}

bind() {
	ldapwhoami -x -H "$LDAP_URL" -D "cn=bob,$users" -w "$1" 2>&1
	echo "= $?"
}

open
look "bob;$CODE1"
bind demo-bob
close

bind demo-bob
echo

open
look "bob;$CODE1"
bind demo-bob
look bob
bind demo-bob
look "bob;$CODE2"
bind wrong
look "bob;$CODE1"
bind wrong
bind demo-bob
close
