<?php
// What user_ldap of Nextcloud 32 sends, through the same extension: one JSON
// object a line on standard input is an HTTP request, and the line that answers
// it says what became of each LDAP operation. What follows from that is
// decided by the reader; here it decides only what is sent next.
//
// Commands:
//   {"do":"config", "url", "base", "agent", "password", "ttl", "adminGroup", "mapped": {name: DN}}
//   {"do":"web"|"basic", "now", "name", "password"}                       a login
//   {"do":"page"|"app", "now", "uid", "check": {"name", "password"}|null, "token"}
//
// With "check" the session or app password is validated again. With "hold" the
// request stops before its bind of the user; {"do":"go"} lets it go on.

const DENIED = [49, 50, 53];   // on a bind: the password is wrong
const TROUBLE = [52, 1, -1];   // on a login search: the server is; -1 is a lost connection

final class Trouble extends Exception {}

// Site is what outlives a request.
final class Site {
	public array $config = ['ttl' => 0, 'adminGroup' => false, 'mapped' => []];
	public array $names = [];  // login name => [DN, until], the memory cache
	public array $groups = []; // DN => [names of group DNs, until]
	public ?Fiber $held = null;

	public function users(): string { return 'ou=users,' . $this->config['base']; }
	public function groupsDN(): string { return 'ou=groups,' . $this->config['base']; }
	public function filter(): string {
		return '(&(objectclass=user)(memberof=cn=nextcloud-users,' . $this->groupsDN() . '))';
	}
}

// Request is one HTTP request: PHP starts anew with each.
final class Request {
	public array $answers = [];
	private ?LDAP\Connection $agent = null;
	private array $exists = [];

	public function __construct(private Site $site, private int $now) {}

	private function connect(): LDAP\Connection {
		$c = ldap_connect($this->site->config['url']);
		ldap_set_option($c, LDAP_OPT_PROTOCOL_VERSION, 3);
		ldap_set_option($c, LDAP_OPT_REFERRALS, 0);
		ldap_set_option($c, LDAP_OPT_NETWORK_TIMEOUT, 15);
		return $c;
	}

	private function answered(string $op, LDAP\Connection $c, int $entries = 0): int {
		$code = ldap_errno($c);
		$answer = ['op' => $op, 'code' => $code, 'entries' => $entries];
		if ($code !== 0) {
			ldap_get_option($c, LDAP_OPT_DIAGNOSTIC_MESSAGE, $text);
			$answer['text'] = (string)$text;
		}
		$this->answers[] = $answer;
		return $code;
	}

	// agent is the connection of the service account. If its bind fails,
	// Nextcloud goes on without.
	private function agent(): LDAP\Connection {
		if ($this->agent === null) {
			$this->agent = $this->connect();
			@ldap_bind($this->agent, $this->site->config['agent'], $this->site->config['password']);
			$this->answered('agent', $this->agent);
		}
		return $this->agent;
	}

	public function end(): void {
		if ($this->agent !== null) {
			@ldap_unbind($this->agent);
			$this->agent = null;
		}
	}

	// find returns [code, entries].
	private function find(string $op, bool $base, string $dn, string $filter, array $attrs, int $page = 0): array {
		$c = $this->agent();
		$controls = $page > 0 ? [['oid' => LDAP_CONTROL_PAGEDRESULTS, 'iscritical' => false, 'value' => ['size' => $page, 'cookie' => '']]] : [];
		$call = $base ? 'ldap_read' : 'ldap_search';
		$r = @$call($c, $dn, $filter, $attrs, 0, -1, -1, LDAP_DEREF_NEVER, $controls);
		$entries = [];
		if ($r !== false) {
			for ($e = ldap_first_entry($c, $r); $e; $e = ldap_next_entry($c, $e)) {
				$entries[] = ['dn' => ldap_get_dn($c, $e)] + array_change_key_case(ldap_get_attributes($c, $e));
			}
		}
		return [$this->answered($op, $c, count($entries)), $entries];
	}

	private function read(string $dn, string $attr): array {
		[, $entries] = $this->find('read', true, $dn, '(objectClass=*)', [$attr]);
		$values = $entries[0][$attr] ?? [];
		unset($values['count']);
		return $values;
	}

	// loginDN finds the DN for a login name, null for a name that nobody has.
	private function loginDN(string $name): ?string {
		$known = $this->site->names[strtolower($name)] ?? null;
		if ($known !== null && $this->now < $known[1]) {
			return $known[0];
		}
		$uid = ldap_escape($name, '', LDAP_ESCAPE_FILTER);
		$filter = substr($this->site->filter(), 0, -1) . "(|(cn=$uid)(mail=$uid)))";
		$attrs = ['entryuuid', 'nsuniqueid', 'objectguid', 'guid', 'ipauniqueid', 'dn', 'uid', 'samaccountname', 'memberof', 'cn', 'mail', 'displayname', 'jpegphoto', 'thumbnailphoto'];
		[$code, $entries] = $this->find('search', false, $this->site->users(), $filter, $attrs, 500);
		if (in_array($code, TROUBLE)) {
			$this->end();
			[$code, $entries] = $this->find('search', false, $this->site->users(), $filter, $attrs, 500);
			if (in_array($code, TROUBLE)) {
				throw new Trouble();
			}
		}
		if ($code !== 0 || count($entries) !== 1) {
			return null;
		}
		$dn = mb_strtolower($entries[0]['dn']);
		$this->site->config['mapped'][strtolower($entries[0]['cn'][0])] = $dn;
		if ($this->site->config['ttl'] > 0) {
			$this->site->names[strtolower($name)] = [$dn, $this->now + $this->site->config['ttl']];
		} else {
			$this->exists($dn);
		}
		return $dn;
	}

	// exists is the existence read, once a request.
	private function exists(string $dn): void {
		if (isset($this->exists[$dn])) {
			return;
		}
		$this->exists[$dn] = true;
		[$code] = $this->find('exists', true, $dn, $this->site->filter(), ['']);
		if (in_array($code, TROUBLE)) {
			throw new Trouble();
		}
	}

	private function mapped(string $name): ?string {
		return $this->site->config['mapped'][strtolower($name)] ?? null;
	}

	// once checks a password: a login search, and a bind on a new connection.
	private function once(string $name, string $password): ?string {
		$dn = $this->loginDN($name);
		if ($dn === null || $password === '') {
			return null;
		}
		if (Fiber::getCurrent()) {
			Fiber::suspend();
		}
		$c = $this->connect();
		@ldap_bind($c, $dn, $password);
		$code = $this->answered('bind', $c);
		@ldap_unbind($c);
		if ($code === 0) {
			return $dn;
		}
		if (!in_array($code, DENIED)) {
			throw new Trouble();
		}
		return null;
	}

	// check tries a password as it is, and URL-decoded.
	private function check(string $name, string $password): ?string {
		return $this->once($name, $password) ?? $this->once($name, urldecode($password));
	}

	private function posix(string $dn): void {
		$gid = $this->read($dn, 'gidnumber')[0] ?? '';
		$this->find('read', false, $this->site->groupsDN(), "(&(objectclass=group)(objectClass=posixGroup)(gidnumber=$gid))", ['dn'], 1);
	}

	private function validate(array $groups): void {
		foreach ($groups as $g) {
			$this->find('read', true, $g, '(objectclass=group)', ['']);
		}
	}

	private function isAdmin(): void {
		if ($this->site->config['adminGroup']) {
			$this->read('cn=nextcloud-admins,' . mb_strtolower($this->site->groupsDN()), 'member');
		}
	}

	private function memberOf(string $dn): array {
		return array_map(mb_strtolower(...), $this->read($dn, 'memberof'));
	}

	// welcome is what follows a login; $tail: a page follows, too.
	private function welcome(string $dn, bool $tail): void {
		if ($this->site->config['ttl'] > 0) {
			if (($this->site->groups[$dn] ?? 0) <= $this->now) {
				$this->site->groups[$dn] = $this->now + $this->site->config['ttl'];
				$this->read($dn, 'primarygroupid');
				$this->posix($dn);
				$this->memberOf($dn);
			}
			return;
		}
		$this->read($dn, 'primarygroupid');
		$this->posix($dn);
		$groups = $this->memberOf($dn);
		$this->validate($groups);
		$this->posix($dn);
		$this->read($dn, 'displayname');
		if ($tail) {
			$this->isAdmin();
			$this->validate($groups);
		}
	}

	public function web(array $r): void {
		if ($this->site->config['ttl'] == 0 && ($dn = $this->mapped($r['name'])) !== null) {
			$this->exists($dn);
		}
		$dn = $this->check($r['name'], $r['password']);
		if ($dn !== null) {
			$this->welcome($dn, true);
		} elseif ($this->site->config['ttl'] == 0) {
			$this->loginDN($r['name']); // to count the failure for somebody
		}
	}

	public function basic(array $r): void {
		$this->loginDN($r['name']); // does he have a second factor in Nextcloud?
		$dn = $this->check($r['name'], $r['password']);
		if ($dn !== null) {
			$this->welcome($dn, false);
		} elseif ($this->site->config['ttl'] == 0) {
			$this->loginDN($r['name']);
		}
	}

	public function page(array $r): void {
		$cached = $this->site->config['ttl'] > 0;
		$dn = $this->mapped($r['uid']);
		if (!$cached) {
			$this->exists($dn);
		}
		if ($r['check'] !== null && $this->check($r['check']['name'], $r['check']['password']) === null || $cached) {
			return;
		}
		$this->read($dn, 'primarygroupid');
		$this->isAdmin();
		$this->posix($dn);
		$groups = $this->memberOf($dn);
		$this->validate($groups);
		$this->validate($groups);
		$this->read($dn, 'displayname');
	}

	public function app(array $r): void {
		$cached = $this->site->config['ttl'] > 0;
		$dn = $this->mapped($r['uid']);
		if ($r['check'] !== null && $this->check($r['check']['name'], $r['check']['password']) === null) {
			// Perhaps the app password is a password.
			if ($this->check($r['check']['name'], $r['token']) === null && !$cached) {
				$this->loginDN($r['check']['name']);
			}
			return;
		}
		if (!$cached) {
			$this->exists($dn);
			$this->welcome($dn, false);
		}
	}
}

function finish(Request $request, Closure $run): array {
	try {
		$run();
	} catch (Trouble) {
		// HTTP 503
	}
	$request->end();
	return ['answers' => $request->answers];
}

$site = new Site();
while (($line = fgets(STDIN)) !== false) {
	$r = json_decode($line, true, flags: JSON_THROW_ON_ERROR);
	$answer = ['answers' => []];
	switch ($r['do']) {
	case 'config':
		$site->config = $r + $site->config;
		break;
	case 'go':
		while (!$site->held->isTerminated()) {
			$site->held->resume();
		}
		$answer = $site->held->getReturn();
		$site->held = null;
		break;
	default:
		$request = new Request($site, $r['now']);
		$run = fn () => finish($request, fn () => $request->{$r['do']}($r));
		if ($r['hold'] ?? false) {
			$site->held = new Fiber($run);
			$site->held->start();
		} else {
			$answer = $run();
		}
	}
	echo json_encode($answer, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE), "\n";
}
