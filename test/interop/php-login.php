<?php
// Logins as Nextcloud makes them: the service account looks the login name up
// on one connection, and on another the user binds with the plain password.
$base = getenv('BASE');
$users = "ou=users,$base";

function connect($dn, $password) {
	$c = ldap_connect(getenv('LDAP_URL'));
	ldap_set_option($c, LDAP_OPT_PROTOCOL_VERSION, 3);
	ldap_set_option($c, LDAP_OPT_REFERRALS, 0);
	@ldap_bind($c, $dn, $password);
	return $c;
}
function service() {
	global $users;
	return connect("cn=ldapservice,$users", 'demo-ldapservice');
}
// Looks a login name up and returns the DN.
function lookup($service, $name) {
	global $users;
	$name = ldap_escape($name, '', LDAP_ESCAPE_FILTER);
	$r = ldap_search($service, $users, "(&(objectclass=user)(|(cn=$name)(mail=$name)))", ['dn', 'cn']);
	return ldap_get_dn($service, ldap_first_entry($service, $r));
}
function bind($dn, $password) {
	$c = connect($dn, $password);
	$code = ldap_errno($c);
	@ldap_unbind($c);
	return $code;
}
function login($what, $name, $password) {
	$s = service();
	echo "$what: ", bind(lookup($s, $name), $password), "\n";
	ldap_read($s, '', '(objectClass=*)'); // is answered, so the login is over
	ldap_unbind($s);
}

$bob = "cn=bob,$users";
$first = 'bob;' . getenv('CODE1');
$second = 'bob;' . getenv('CODE2');
$s = service();
echo 'found: ', lookup($s, $first), "\n";
echo 'login: ', bind($bob, 'demo-bob'), "\n";
ldap_read($s, $bob, '(objectClass=*)', ['cn']);
echo 'a second bind after one search: ', bind($bob, 'demo-bob'), "\n";
ldap_unbind($s);
echo 'a bind without search: ', bind($bob, 'demo-bob'), "\n";
login('check', $first, 'demo-bob');
login('check by mail address', 'bob@example.org;' . getenv('CODE1'), 'demo-bob');
login('without code', 'bob', 'demo-bob');
login('with another code', 'bob;000000', 'demo-bob');
login('wrong password', $first, 'wrong');
login('code of a wrong password', $second, 'wrong');
login('second login', $second, 'demo-bob');
login('check of the first', $first, 'demo-bob');
login('check of the second', $second, 'demo-bob');

$s = service();
$t = service();
lookup($s, $first);
lookup($t, 'bob');
echo 'one of two logins: ', bind($bob, 'demo-bob'), "\n";
lookup($t, 'alice'); // ends the other
echo 'the one that is left: ', bind($bob, 'demo-bob'), "\n";
ldap_unbind($t);
ldap_unbind($s);
login('nobody has a factor', 'alice', 'demo-alice');
login('nobody has a factor, code for nothing', 'alice;123456', 'demo-alice');
