<?php
// PHP's ldap extension: the calls that Nextcloud's user_ldap makes, and more.
$base = getenv('BASE');
$users = "ou=users,$base";
ldap_set_option(null, LDAP_OPT_X_TLS_CACERTFILE, getenv('LDAP_CA'));
ldap_set_option(null, LDAP_OPT_X_TLS_REQUIRE_CERT, LDAP_OPT_X_TLS_DEMAND);

function connect($url) {
	$c = ldap_connect($url);
	ldap_set_option($c, LDAP_OPT_PROTOCOL_VERSION, 3);
	ldap_set_option($c, LDAP_OPT_REFERRALS, 0);
	return $c;
}
function say($what, $outcome) {
	echo "$what: ", is_array($outcome) ? implode(' ', $outcome) : $outcome, "\n";
}
function bind($what, $dn, $password) {
	$c = connect(getenv('LDAP_URL'));
	@ldap_bind($c, $dn, $password);
	say($what, ldap_errno($c));
	ldap_unbind($c);
}
function dns($c, $result) {
	$dns = [];
	for ($e = ldap_first_entry($c, $result); $e; $e = ldap_next_entry($c, $e)) {
		$dns[] = explode(',', ldap_get_dn($c, $e))[0];
	}
	return $dns;
}
function entry($c, $result) {
	foreach (ldap_get_entries($c, $result) as $entry) {
		if (!is_array($entry)) continue;
		echo "  ", $entry['dn'], "\n";
		foreach ($entry as $name => $values) {
			if (!is_array($values)) continue;
			unset($values['count']);
			echo "    $name: ", implode(' | ', $values), "\n";
		}
	}
}

$c = connect(getenv('LDAP_URL'));
$dse = ldap_get_entries($c, ldap_read($c, '', '(objectClass=*)', ['namingContexts']));
say('root DSE', $dse[0]['namingcontexts'][0]);
@ldap_search($c, $base, '(uid=alice)');
say('search before bind', ldap_errno($c));

bind('bind alice', "cn=alice,$users", 'demo-alice');
bind('bind alice, wrong password', "cn=alice,$users", 'wrong');
bind('bind alice, empty password', "cn=alice,$users", '');
bind('bind carol, inactive', "cn=carol,$users", 'demo-carol');
bind('bind bob, no code', "cn=bob,$users", 'demo-bob');
bind('bind bob, code on the password', "cn=bob,$users", 'demo-bob;' . getenv('CODE1'));
bind('bind bob, the same again', "cn=bob,$users", 'demo-bob;' . getenv('CODE1'));
bind('bind bob, the used code on the login name', 'cn=bob;' . getenv('CODE1') . ",$users", 'demo-bob');
bind('bind bob, code on the login name', 'cn=bob;' . getenv('CODE2') . ",$users", 'demo-bob');

ldap_bind($c, "cn=ldapservice,$users", 'demo-ldapservice');
say('whoami', ldap_exop_whoami($c));
echo "search uid=alice\n";
entry($c, ldap_search($c, $users, '(uid=alice)', ['cn', 'mail', 'memberof']));
echo "search cn=bob\n";
entry($c, ldap_search($c, $users, '(cn=bob)', ['displayname', 'objectclass']));
say('search memberOf', dns($c, ldap_search($c, $users, "(memberOf=cn=staff,ou=groups,$base)", ['dn'])));
// user_ldap asks whether an entry exists with one empty attribute name
$r = ldap_read($c, "cn=alice,$users", '(&(|(objectclass=user)))', ['']);
say('existence read', ldap_count_entries($c, $r) . ' entry, ' . (ldap_get_entries($c, $r)[0]['count'] ?? '-') . ' attributes');

$cookie = '';
do {
	$r = ldap_search($c, $users, '(objectClass=person)', ['dn'], controls: [
		['oid' => LDAP_CONTROL_PAGEDRESULTS, 'value' => ['size' => 3, 'cookie' => $cookie]],
	]);
	ldap_parse_result($c, $r, $code, $matched, $message, $referrals, $controls);
	say("page, $code", dns($c, $r));
	$cookie = $controls[LDAP_CONTROL_PAGEDRESULTS]['value']['cookie'];
} while ($cookie !== '');

foreach ([false, true] as $reverse) {
	$r = ldap_search($c, $users, '(objectClass=person)', ['cn'], controls: [
		['oid' => LDAP_CONTROL_SORTREQUEST, 'iscritical' => true, 'value' => [['attr' => 'cn', 'reverse' => $reverse]]],
	]);
	say('sorted by ' . ($reverse ? '-cn' : 'cn'), dns($c, $r));
}

say('compare mail', var_export(ldap_compare($c, "cn=alice,$users", 'mail', 'alice@example.org'), true));
say('compare other mail', var_export(ldap_compare($c, "cn=alice,$users", 'mail', 'bob@example.org'), true));
@ldap_search($c, "cn=nobody,$users", '(objectClass=*)');
$code = ldap_errno($c);
ldap_get_option($c, LDAP_OPT_MATCHED_DN, $matched);
say('search missing base', "$code, matched $matched");
@ldap_add($c, "cn=new,$users", ['objectClass' => 'person', 'cn' => 'new', 'sn' => 'new']);
say('add', ldap_errno($c));
@ldap_mod_replace($c, "cn=alice,$users", ['sn' => 'x']);
say('modify', ldap_errno($c));
@ldap_rename($c, "cn=alice,$users", 'cn=eve', $users, true);
say('rename', ldap_errno($c));
@ldap_delete($c, "cn=alice,$users");
say('delete', ldap_errno($c));
ldap_unbind($c);

$c = connect(getenv('LDAP_URL'));
ldap_start_tls($c);
ldap_bind($c, "cn=alice,$users", 'demo-alice');
say('StartTLS', ldap_exop_whoami($c));
ldap_unbind($c);
$c = connect(getenv('LDAPS_URL'));
ldap_bind($c, "cn=alice,$users", 'demo-alice');
say('LDAPS', ldap_exop_whoami($c));
say('alice sees', dns($c, ldap_search($c, $base, '(objectClass=*)', ['dn'])));
ldap_unbind($c);
