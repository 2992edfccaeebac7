#!/bin/sh
# OpenLDAP's command line tools. Prints each command, its output, its status.
# shellcheck disable=SC2086  # url, alice and service are several words each
export LDAPTLS_CACERT="$LDAP_CA" LDAPTLS_REQCERT=demand

users="ou=users,$BASE"
alice="-D cn=alice,$users -w demo-alice"
service="-D cn=ldapservice,$users -w demo-ldapservice"
url="-x -H $LDAP_URL"
cd "$HOME" || exit

run() {
	printf '$'
	for arg; do
		case $arg in
		'' | *[!A-Za-z0-9=,:./-]*) printf " '%s'" "$arg" ;;
		*) printf ' %s' "$arg" ;;
		esac
	done
	echo
	"$@" 2>&1
	echo "= $?"
	echo
}

run ldapsearch $url -LLL -s base -b "" namingContexts supportedLDAPVersion subschemaSubentry
run ldapsearch $url -LLL -b "$BASE" uid=alice
run ldapsearch -Q -H "$LDAP_URL" -Y DIGEST-MD5 -U alice -w demo-alice -s base -b ""

run ldapwhoami $url
run ldapwhoami $url $alice
run ldapwhoami $url -D "uid=alice,$users" -w demo-alice
run ldapwhoami $url -D "CN=Alice, OU=Users,$BASE" -w demo-alice
run ldapwhoami $url -D "cn=alice,$users" -w wrong
run ldapwhoami $url -D "cn=nobody,$users" -w demo-alice
run ldapwhoami $url -D "cn=carol,$users" -w demo-carol
run ldapwhoami $url -D "cn=alice,$users" -w ""
run ldapwhoami $url -D "cn=bob,$users" -w demo-bob
run ldapwhoami $url -D "cn=bob,$users" -w "demo-bob;$CODE1"
run ldapwhoami $url -D "cn=bob,$users" -w "demo-bob;$CODE1"
run ldapwhoami $url -D "cn=bob;$CODE1,$users" -w demo-bob
run ldapwhoami $url -D "cn=bob;$CODE2,$users" -w demo-bob

run ldapwhoami $url -ZZ $alice
run ldapwhoami -x -H "$LDAPS_URL" $alice

run ldapsearch $url -LLL $service -b "$BASE" uid=alice cn mail memberOf
run ldapsearch $url -LLL $service -b "$users" cn=bob cn displayName sn givenName
run ldapsearch $url -LLL $service -b "$users" "memberOf=cn=staff,ou=groups,$BASE" 1.1
run ldapsearch $url -LLL $service -b "$BASE" "memberOf:1.2.840.113556.1.4.1941:=cn=everyone,ou=groups,$BASE" 1.1
run ldapsearch $url -LLL $service -b "ou=groups,$BASE" "member=cn=ALICE,$users" cn member uniqueMember memberUid
run ldapsearch $url -LLL $service -s base -b "cn=alice,$users" "(objectClass=*)" hasSubordinates structuralObjectClass entryDN
run ldapsearch $url -LLL $service -s one -b "$BASE" "(objectClass=*)" 1.1
run ldapsearch $url -LLL $service -z 1 -b "$users" "(objectClass=person)" 1.1
run ldapsearch $url -LLL $service -E pr=2/noprompt -b "$users" "(objectClass=person)" 1.1
run ldapsearch $url -LLL $service -E sss=cn -b "$users" "(objectClass=person)" cn
run ldapsearch $url -LLL $service -E sss=-cn -b "$users" "(objectClass=person)" cn
run ldapsearch $url -LLL $service -E '!1.2.3.4' -b "$users" uid=alice 1.1
run ldapsearch $url -LLL $service -b "cn=nobody,$users" 1.1
run ldapsearch $url -LLL $service -b "dc=elsewhere" 1.1
run ldapsearch $url -LLL $alice -b "$BASE" "(objectClass=*)" member

run ldapcompare $url $service "cn=alice,$users" "mail:ALICE@example.org"
run ldapcompare $url $service "cn=alice,$users" mail:bob@example.org
run ldapcompare $url $service "cn=alice,$users" nosuch:x

printf 'dn: cn=new,%s\nobjectClass: person\ncn: new\nsn: new\n' "$users" >add.ldif
printf 'dn: cn=alice,%s\nchangetype: modify\nreplace: sn\nsn: x\n' "$users" >modify.ldif
run ldapadd $url $service -f add.ldif
run ldapmodify $url $service -f modify.ldif
run ldapmodrdn $url $service "cn=alice,$users" cn=eve
run ldapdelete $url $service "cn=alice,$users"
run ldapexop $url $service 1.2.3.4.5
