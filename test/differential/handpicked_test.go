package differential

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

const (
	usersDN   = "ou=users," + lower
	groupsDN  = "ou=groups," + lower
	virtualDN = "ou=virtual-groups," + lower
	bobDN     = "cn=bob.Builder1," + usersDN
	base      = ldap.ScopeBaseObject
	one       = ldap.ScopeSingleLevel
	tree      = ldap.ScopeWholeSubtree
)

// handPicked are the searches that somebody thought of.
func handPicked() []query {
	var out []query
	for _, part := range [][]query{bases(), filters(), oddFilters(), nextcloud(), selections(), limits(), sorted()} {
		out = append(out, part...)
	}
	return out
}

func bases() []query {
	var out []query
	for _, dn := range []string{
		baseDN, lower, strings.ToUpper(baseDN), "dc = ldap , dc = goauthentik , dc = io",
		"0.9.2342.19200300.100.1.25=ldap,domainComponent=goauthentik,DC=io",
		"dc=#04046c646170,dc=goauthentik,dc=io",
		usersDN, groupsDN, virtualDN, "OU=Users," + baseDN, "2.5.4.11=users," + lower,
		bobDN, "CN=BOB.BUILDER1," + strings.ToUpper(usersDN), `cn=b\6fb.Builder1,` + usersDN, "commonName=bob.Builder1," + usersDN,
		"cn=Smith\\, Zoë," + usersDN, "cn=smith\\2C zoë," + usersDN, "cn=smith\\2c  ZO\\c3\\8b," + usersDN,
		`cn=a\+b,` + usersDN, `cn=a\2bb,` + usersDN, `cn=quo\"te,` + usersDN, `cn=semi\3bcolon,` + usersDN, `cn=\#hash,` + usersDN,
		`cn=\23hash,` + usersDN, `cn=back\5cslash,` + usersDN, `cn=back\\slash,` + usersDN, "cn=eq=ual," + usersDN,
		`cn=\<angle\>,` + usersDN, "cn=two blanks," + usersDN, "cn=two  blanks," + usersDN, `cn=two\20\20blanks,` + usersDN,
		"cn=groß," + usersDN, "cn=gross," + usersDN, "cn=σίσυφοσ," + usersDN, "cn=li," + usersDN, "cn=李雷," + usersDN,
		"cn=\u00e9clair," + usersDN, "cn=e\u0301clair," + usersDN, "cn=ÉCLAIR," + usersDN, "cn=A\u030angström," + usersDN,
		`cn=R&D\, Zürich,` + groupsDN, `cn=\"quoted\",` + groupsDN, "cn=日本," + groupsDN, "cn=nobody," + groupsDN,
		"cn=bob.Builder1," + virtualDN,
		// not there
		"cn=nobody," + usersDN, "cn=x," + bobDN, "ou=nowhere," + lower, "cn=bob.Builder1,ou=nowhere," + lower, "sn=bob.Builder1," + usersDN,
		"cn=bob.Builder1+sn=x," + usersDN, "dc=goauthentik,dc=io", "dc=io", "dc=example,dc=org", "o=other", "cn=subschema,dc=x",
		// no names
		"nonsense", "cn=", "cn=x,,dc=y", "=x", "cn=a+,dc=y", `cn=\zz,dc=y`, ",", "cn=a,",
	} {
		for _, scope := range []int{base, one, tree} {
			out = append(out, query{base: dn, scope: scope, filter: has("objectClass"), attrs: []string{"cn", "entryUUID"}})
		}
	}
	// The rest of the root DSE and the subschema is each server's own.
	for _, scope := range []int{base, one, tree} {
		out = append(out, query{base: "", scope: scope, filter: has("objectClass"), attrs: []string{"supportedLDAPVersion", "subschemaSubentry"}})
	}
	return append(out,
		query{base: "", scope: base, filter: eq("objectClass", "person"), attrs: []string{"1.1"}},
		query{base: "cn=subschema", scope: base, filter: eq("objectClass", "subschema"), attrs: []string{"1.1"}},
		query{base: "CN=Subschema", scope: base, filter: has("objectClass"), attrs: []string{"1.1"}},
	)
}

func filters() []query {
	var out []query
	for _, f := range []filter{
		has("objectClass"), eq("objectClass", "top"), eq("OBJECTCLASS", "PERSON"), eq("objectClass", "goauthentik.io/ldap/user"),
		eq("objectClass", "goauthentik.io/ldap/virtual-group"), eq("objectClass", "2.5.6.6"), eq("objectClass", "2.16.840.1.113730.3.2.2"),
		eq("objectClass", "computer"), no(eq("objectClass", "computer")), no(eq("objectClass", "person")), eq("objectClass", "domain"),
		anyOf(eq("objectClass", "organizationalUnit"), eq("objectClass", "domain")), eq("objectClass", " person "), eq("objectClass", ""),
		eq("2.5.4.0", "posixAccount"), eq("structuralObjectClass", "groupOfNames"),

		eq("cn", "bob.Builder1"), eq("cn", "BOB.builder1"), eq("commonName", "bob.builder1"), eq("2.5.4.3", "bob.builder1"), eq("cn", " bob.builder1 "),
		eq("cn", "Smith, Zoë"), eq("cn", "smith,  zoË"), eq("cn", "star*paren()"), eq("cn", `back\slash`), eq("cn", "two blanks"), eq("cn", "groß"),
		eq("cn", "ΣΊΣΥΦΟΣ"), eq("cn", "σίσυφοσ"), eq("cn", "tab here"), eq("cn", "e\u0301clair"), eq("cn", "\u00e9clair"), eq("cn", "ａ+ｂ"), eq("cn", "a\u00ad+b"),
		eq("name", "bob.Builder1"), eq("name", "Bob Builder"), has("name"), no(has("name")), sub("name", "", "b", ""), eq("sn", "alice liddell"), eq("surname", "Alice Liddell"),
		eq("uid", "smith, zoë"), eq("userid", "李雷"), eq("sAMAccountName", "BOB.BUILDER1"), eq("displayName", "Bob Builder"),
		eq("mail", "user.7@example.org"), eq("mail", "USER.7@EXAMPLE.ORG"), eq("rfc822Mailbox", "user.7@example.org"), has("mail"), no(has("mail")),
		eq("mail", "ü@example.org"), no(eq("mail", "ü@example.org")), sub("memberUid", "Jör", ""), no(sub("memberUid", "Jör", "")),
		eq("memberUid", "bob.Builder1"), eq("memberUid", "BOB.BUILDER1"), eq("loginShell", "/bin/Zsh"), eq("loginShell", "/bin/zsh"),

		eq("member", bobDN), eq("member", "CN=Bob.builder1 , OU=Users, "+baseDN), eq("member", "commonName=bob.Builder1,"+usersDN), eq("uniqueMember", bobDN),
		eq("memberOf", "cn=sales,"+groupsDN), eq("memberOf", `cn=R\26D\2c Zürich,`+groupsDN), eq("memberOf", `CN=R&D\, ZÜRICH,`+groupsDN), eq("memberOf", "nonsense"),
		no(eq("memberOf", "cn=sales,"+groupsDN)), no(eq("memberOf", "nonsense")), no(has("memberOf")), no(has("member")), sub("member", "cn=bob", ""),
		no(sub("memberOf", "", "sales", "")), eq("manager", "cn=BOB.builder1,OU=users,"+baseDN), eq("distinguishedName", usersDN), eq("entryDN", strings.ToUpper(bobDN)),

		eq("uidNumber", "2005"), eq("uidNumber", "02005"), eq("uidNumber", "-1"), eq("uidNumber", "x"), no(eq("uidNumber", "x")), no(eq("uidNumber", "2005")),
		ge("uidNumber", "2040"), le("uidNumber", "2003"), ge("uidNumber", "9"), le("uidNumber", "-5"), ge("uidNumber", "x"), no(le("uidNumber", "")),
		sub("uidNumber", "20", ""), no(sub("uidNumber", "20", "")), about("uidNumber", "2005"), eq("gidNumber", bobDN), eq("gidNumber", "7777"), ge("gidNumber", "4000"),
		ge("userAccountControl", "513"), eq("departmentNumber", "3"), eq("costCentre", "104"), eq("score", "1.5"), eq("verified", "TRUE"), eq("verified", "true"),

		eq("ak-active", "TRUE"), eq("ak-active", "false"), eq("goauthentik.io/ldap/active", "TRUE"), eq("ak-superuser", "true"), eq("ak-superuser", "maybe"), no(eq("ak-superuser", "maybe")),
		eq("hasSubordinates", "TRUE"), eq("hasSubordinates", "FALSE"), no(eq("hasSubordinates", "TRUE")), eq("subschemaSubentry", "cn=subschema"), has("subschemaSubentry"),
		has("hasSubordinates"), has("entryDN"), has("entryUUID"),

		ge("cn", "judy"), le("cn", "b"), ge("uid", "x"), le("description", "Likes LDAP"), ge("sn", "I"), le("displayName", "Bob"), ge("mail", "u"), le("title", "e"), ge("jpegPhoto", "x"),
		ge("createTimestamp", "20260101000000Z"), le("modifyTimestamp", "20251210000000Z"), le("createTimestamp", "202512100000Z"), ge("createTimestamp", "20251231230000-0100"),
		eq("createTimestamp", "20251201005958Z"), eq("createTimestamp", "20251201015958+0100"), eq("createTimestamp", "20251201005958.0Z"), eq("pwdChangedTime", "yesterday"), no(ge("createTimestamp", "yesterday")),

		about("cn", "bob.builder1"), about("cn", "bob.bilder"), about("sn", "smyth"), about("displayName", "Alis Lidel"), about("mail", "user.7@example.org"), no(about("noSuchAttribute", "x")),

		eq("telephoneNumber", "+49 89 1003-3"), eq("telephoneNumber", "+498910033"), eq("telephoneNumber", "+49-89-10033"), sub("telephoneNumber", "+49 89 1", ""), sub("telephoneNumber", "", "100 3", ""),
		eq("x121Address", "00477"), eq("x121Address", "004 77"), sub("x121Address", "", "477"), eq("x121Address", "x"), no(eq("x121Address", "x")),
		eq("postalAddress", "straße 6$80331 münchen"), eq("postalAddress", "Straße 6 $ 80331 München"), sub("postalAddress", "", "80331", ""),
		eq("nextcloud_quota", "4 gb"), sub("nextcloud_quota", "4", ""), has("NEXTCLOUD_QUOTA"), eq("profileurl-home", "https://example.org/~bob.Builder1/25"), has("profileurl-home"),
		eq("jpegPhoto", "x"), no(eq("jpegPhoto", "x")), has("jpegPhoto"), eq("description", "NAÏVE façade"), eq("description", "nai\u0308ve façade"), eq("locale", "DE-at"), sub("locale", "de", ""),
		has("userPassword"), no(has("userPassword")), eq("userPassword", "secret"), anyOf(has("userPassword"), eq("cn", "x")),
		eq("cn;lang-de", "sales"), has("cn;lang-de"),
	} {
		out = append(out, query{base: baseDN, scope: tree, filter: f, attrs: []string{"cn", "memberOf"}})
	}
	return out
}

func oddFilters() []query {
	never, always, undefined := eq("cn", "nothing at all"), has("objectClass"), eq("noSuchAttribute", "x")
	var out []query
	for _, f := range []filter{
		sub("cn", "bob", ""), sub("cn", "BOB", ""), sub("cn", "", "1"), sub("cn", "", "o", ""), sub("cn", "b", "b", ""), sub("cn", "b", "", "1"), sub("cn", "b", "1"),
		sub("cn", "bob", "uild", "1"), sub("cn", "bob", "uild", "er1"), sub("cn", "bob", "b", "uil", "der", "1"), sub("cn", "bob.b", "b", "uilder1"), sub("cn", "", "er", "er", ""),
		sub("cn", "smith,", "zo", ""), sub("cn", "", "*", ""), sub("cn", "", "(", ")"), sub("cn", "two", " ", "blanks"), sub("cn", "two ", "blanks"), sub("cn", "two  ", "  blanks"), sub("cn", "two", " blanks"),
		sub("cn", "tab", "here"), sub("cn", "gro", "ß"), sub("cn", "σί", "σ"), sub("cn", "李", ""), sub("cn", "", "雷"), sub("cn", "", "İ", ""), sub("cn", "é", ""), sub("cn", "e\u0301", ""),
		sub("displayName", "bob ", ""), sub("displayName", "bob  b", ""), sub("displayName", "", " ", ""), sub("displayName", "", " builder"), sub("sn", "van", "", "berg"), sub("mail", "user", "example", "org"),
		sub("mail", "", "@", ""), sub("objectClass", "per", ""), sub("noSuchAttribute", "x", ""), no(sub("noSuchAttribute", "x", "")), sub("title", "Head of", ""), sub("title", "", "of research"),
		sub("description", "Number", "1", ""), sub("jpegPhoto", "x", ""), sub("uid", "", "a", "b", ""), sub("gidNumber", "", "0", ""), sub("ak-active", "T", ""), sub("entryUUID", "a", ""), sub("createTimestamp", "2025", ""),
		sub("loginShell", "", " /bi", ""), no(sub("loginShell", "/bin/ ", "")), sub("telephoneNumber", "+49", "   ", "89", ""), no(sub("telephoneNumber", "", "  ", "")), sub("x121Address", "00", "   ", "77"),
		sub("postalAddress", "", " 0", ""), sub("postalAddress", "straße 30 $ ", "8", ""), no(eq("mail", "")), no(eq("displayName", "\xff\xfe")), no(sub("cn", "\xff", "")),
		ext("entryUUID", "", id("user bob.Builder1")), ext("entryUUID", "uuidMatch", id("user bob.Builder1")), ext("hasSubordinates", "", "TRUE"), ext("uniqueMember", "distinguishedNameMatch", bobDN),
		sub("cn", "aa", "aa"), sub("cn", "a", "+", "b"), sub("cn", "a+b", "b"), sub("cn", "a", "a+b"),

		all(always, no(never)), all(undefined, always), anyOf(undefined, never), anyOf(undefined, eq("cn", "sales")), no(undefined), no(no(undefined)), no(all(undefined, never)), no(all(undefined, always)),
		no(anyOf(undefined, never)), no(anyOf(undefined, always)), no(all(no(undefined), never)), all(no(never)), anyOf(no(never)), all(all(all(always))), anyOf(anyOf(eq("cn", "sales"))), no(no(no(eq("cn", "sales")))),
		no(ge("noSuchAttribute", "1")), no(has("noSuchAttribute")), has("noSuchAttribute"), no(ext("noSuchAttribute", "caseIgnoreMatch", "x")), all(eq("mail", ""), always), no(eq("cn", "")), eq("member", ""), no(eq("member", "")),
		all(eq("objectClass", "group"), no(eq("objectClass", "goauthentik.io/ldap/virtual-group")), anyOf(sub("cn", "s", ""), eq("cn", "x"))),
		all(eq("objectClass", "person"), anyOf(sub("cn", "", "ob", ""), sub("displayName", "", "ob", ""), sub("mail", "", "ob", ""))),

		ext("cn", "", "BOB.builder1"), ext("cn", "caseExactMatch", "bob.builder1"), ext("cn", "caseExactMatch", "bob.Builder1"), ext("cn", "2.5.13.5", "bob.Builder1"), ext("cn", "CASEIGNOREMATCH", "BOB.builder1"),
		ext("cn", "noSuchRule", "x"), no(ext("cn", "noSuchRule", "x")), ext("", "caseExactMatch", "Bob Builder"), ext("", "caseIgnoreMatch", "bob builder"), ext("", "noSuchRule", "x"),
		ext("cn", "integerMatch", "5"), no(ext("cn", "integerMatch", "5")), ext("uidNumber", "integerMatch", "2005"), ext("uidNumber", "caseIgnoreMatch", "2005"), no(ext("uidNumber", "caseExactMatch", "2005")), ext("memberOf", "distinguishedNameMatch", "CN=Sales,"+groupsDN),
		ext("mail", "caseExactMatch", "User.7@Example.org"), ext("mail", "caseExactMatch", "user.7@example.org"), ext("mail", "caseIgnoreIA5Match", "user.7@example.org"), ext("memberUid", "caseIgnoreMatch", "BOB.BUILDER1"),
		extDN("ou", "", "users"), extDN("ou", "", "Groups"), extDN("ou", "caseExactMatch", "Users"), extDN("cn", "", "bob.builder1"), extDN("dc", "", "goauthentik"), extDN("", "caseIgnoreMatch", "users"), extDN("uid", "", "nobody"),
		no(extDN("ou", "", "users")), all(extDN("ou", "", "groups"), eq("objectClass", "posixGroup")),
		ext("userAccountControl", "1.2.840.113556.1.4.803", "512"), ext("userAccountControl", "1.2.840.113556.1.4.803", "1"), ext("userAccountControl", "1.2.840.113556.1.4.804", "3"),
		no(ext("userAccountControl", "1.2.840.113556.1.4.803", "2")), ext("userAccountControl", "1.2.840.113556.1.4.803", "x"), ext("uidNumber", "1.2.840.113556.1.4.804", "1"),
		ext("memberOf", inChain, "cn=everyone,"+groupsDN), ext("memberOf", inChain, "CN=Engineers,"+groupsDN), ext("memberOf", inChain, "cn=nobody,"+groupsDN), ext("memberOf", inChain, "cn=ring,"+groupsDN),
		ext("member", inChain, `cn=R\26D\, Zürich,`+groupsDN), ext("member", inChain, bobDN), ext("memberOf", inChain, "nonsense"), no(ext("memberOf", inChain, "nonsense")), no(ext("memberOf", inChain, "cn=staff,"+groupsDN)),
		all(eq("objectClass", "person"), ext("memberOf", inChain, "cn=staff,"+groupsDN)), ext("uniqueMember", inChain, bobDN),
	} {
		out = append(out, query{base: baseDN, scope: tree, filter: f, attrs: []string{"cn"}})
		out = append(out, query{base: usersDN, scope: one, filter: f, attrs: []string{"1.1"}, page: 7})
	}
	return out
}

// nextcloud are its searches, in its spelling.
func nextcloud() []query {
	user := anyOf(eq("objectclass", "inetOrgPerson"))
	group := all(anyOf(eq("objectclass", "groupOfNames"), eq("objectclass", "zimbraDistributionList")), has("cn"))
	login := []string{
		"entryuuid", "nsuniqueid", "objectguid", "guid", "ipauniqueid", "dn", "uid", "samaccountname", "memberof", "nextcloud_quota", "mail", "displayname", "jpegphoto", "thumbnailphoto",
	}
	listed := func(attr, term string) filter {
		return all(user, has("displayName"), anyOf(eq(attr, term), sub(attr, term, "")))
	}
	return []query{
		{base: baseDN, scope: tree, filter: all(user, anyOf(eq("cn", "bob.builder1"), eq("mail", "bob.builder1"))), attrs: login, page: 500},
		{base: baseDN, scope: tree, filter: all(user, anyOf(eq("cn", "user.7@example.org"), eq("mail", "user.7@example.org"))), attrs: login, page: 500},
		{base: `cn=smith\2c zoë,` + usersDN, scope: base, filter: user, attrs: []string{""}},
		{base: "cn=gone," + usersDN, scope: base, filter: user, attrs: []string{""}},
		{base: bobDN, scope: base, filter: has("objectClass"), attrs: []string{"memberof"}},
		{base: bobDN, scope: base, filter: has("objectClass"), attrs: []string{"primarygrouptoken"}},
		{base: bobDN, scope: tree, filter: has("objectclass"), attrs: login, page: 1},
		{base: usersDN, scope: tree, filter: all(user, has("displayName"), has("displayName")), attrs: login, page: 500},
		{base: usersDN, scope: tree, filter: listed("displayName", "bo"), attrs: login, page: 25},
		{base: usersDN, scope: tree, filter: listed("displayName", "a"), attrs: login, page: 10},
		{base: groupsDN, scope: tree, filter: all(group, has("cn")), attrs: []string{"cn", "dn"}, page: 10},
		{base: baseDN, scope: tree, filter: all(group, anyOf(eq("cn", "s"), sub("cn", "s", ""))), attrs: []string{"cn", "dn"}, page: 25},
		{base: baseDN, scope: tree, filter: all(group, eq("objectClass", "posixGroup"), eq("gidnumber", "2002")), attrs: []string{"dn"}, page: 1},
		{base: usersDN, scope: tree, filter: all(all(user, has("displayName")), eq("gidnumber", "2004")), attrs: login, page: 500},
		{base: groupsDN, scope: tree, filter: all(eq("member", bobDN), group), attrs: []string{"member", "cn", "dn"}, page: 500},
		{base: groupsDN, scope: tree, filter: eq("memberuid", "bob.Builder1"), attrs: []string{"dn"}, page: 500},
		{base: usersDN, scope: tree, filter: all(user, ext("memberof", inChain, "cn=staff,"+groupsDN)), attrs: login, page: 500},
		{base: usersDN, scope: tree, filter: eq("entryuuid", strings.ToUpper(id("user bob.Builder1"))), attrs: []string{"dn"}, page: 2},
		{base: baseDN, scope: tree, filter: has("objectClass"), attrs: []string{"dn"}, size: 1},
		{base: baseDN, scope: tree, filter: eq("objectclass", "posixGroup"), attrs: []string{"objectclass"}, size: 20000},
		{base: baseDN, scope: tree, filter: has("memberOf"), attrs: []string{"dn"}, page: 1},
		{base: baseDN, scope: tree, filter: user, size: 1, types: true},
		{base: groupsDN, scope: tree, filter: group, attrs: []string{"uniqueMember", "memberUid", "member", "gidNumber", "zimbraMailForwardingAddress"}, size: 1000},
		{base: groupsDN, scope: tree, filter: eq("gidNumber", bobDN), attrs: []string{"dn"}},
		{base: baseDN, scope: tree, filter: all(user, has("mailPrimaryAddress")), attrs: []string{"dn"}, page: 1},
	}
}

func selections() []query {
	var out []query
	for _, attrs := range [][]string{
		nil, {"*"}, {"+"}, {"*", "+"}, {"1.1"}, {"1.1", "cn"}, {"1.1", "*"}, {"*", "cn"}, {"+", "cn"}, {"cn"}, {"CN", "SN"}, {"commonName"}, {"2.5.4.3"}, {"2.5.4.3", "cn", "CN"}, {""}, {"", "cn"}, {"dn"},
		{"noSuchAttribute"}, {"noSuchAttribute", "mail"}, {"name"}, {"NAME", "cn"}, {"2.5.4.41"}, {"objectclass"}, {"userPassword"}, {"jpegPhoto"}, {"jpegPhoto;binary"}, {"cn;lang-de"}, {"nextcloud_quota"},
		{"createTimestamp"}, {"createtimestamp", "*"}, {"entryUUID", "hasSubordinates", "structuralObjectClass"}, {"subschemasubentry"}, {"entryDN"}, {"member", "uniqueMember", "memberUid"}, {"ak-superuser"},
		{"distinguishedName"}, {"description"}, {"9.9.9.9"}, {"-"}, {"**"}, {"@person"},
	} {
		for _, types := range []bool{false, true} {
			out = append(out, query{base: baseDN, scope: tree, filter: has("objectClass"), attrs: attrs, types: types})
			out = append(out, query{base: bobDN, scope: base, filter: has("objectClass"), attrs: attrs, types: types})
		}
	}
	return out
}

func limits() []query {
	var out []query
	users := len(sampleUsers())
	for _, size := range []int{0, 1, 2, 5, users - 1, users, users + 1} {
		for _, page := range []uint32{0, 1, 2, 7, 50, 1000} {
			out = append(out, query{base: usersDN, scope: one, filter: has("cn"), attrs: []string{"cn"}, size: size, page: page})
		}
	}
	for _, page := range []uint32{1, 2, 7, 50} {
		out = append(out,
			query{base: baseDN, scope: tree, filter: has("objectClass"), attrs: []string{"*", "+"}, page: page},
			query{base: baseDN, scope: tree, filter: eq("memberOf", "cn=sales,"+groupsDN), page: page},
			query{base: baseDN, scope: tree, filter: eq("cn", "nothing at all"), page: page},
			query{base: "cn=gone," + usersDN, scope: tree, filter: has("cn"), page: page},
			query{base: bobDN, scope: base, filter: has("cn"), page: page},
		)
	}
	return out
}

func sorted() []query {
	var out []query
	for _, keys := range [][]*ldap.SortKey{
		{{AttributeType: "entryUUID"}},
		{{AttributeType: "entryUUID", Reverse: true}},
		{{AttributeType: "uidNumber"}, {AttributeType: "entryUUID"}},
		{{AttributeType: "uidNumber", Reverse: true}, {AttributeType: "entryUUID"}},
		{{AttributeType: "DISPLAYNAME"}, {AttributeType: "entryUUID"}},
		{{AttributeType: "displayName", MatchingRule: "caseIgnoreOrderingMatch"}, {AttributeType: "entryUUID"}},
		{{AttributeType: "displayName", MatchingRule: "2.5.13.6", Reverse: true}, {AttributeType: "entryUUID"}},
		{{AttributeType: "title", Reverse: true}, {AttributeType: "displayName"}, {AttributeType: "entryUUID"}},
		{{AttributeType: "title"}, {AttributeType: "displayName", Reverse: true}, {AttributeType: "entryUUID"}},
		{{AttributeType: "createTimestamp"}, {AttributeType: "entryUUID"}},
		{{AttributeType: "cn"}, {AttributeType: "entryUUID"}},
		{{AttributeType: "mail"}, {AttributeType: "entryUUID"}},
		{{AttributeType: "locale"}, {AttributeType: "entryUUID"}},
		{{AttributeType: "noSuchAttribute"}},
		{{AttributeType: "cn", MatchingRule: "noSuchRule"}},
	} {
		for _, page := range []uint32{0, 7} {
			out = append(out, query{base: baseDN, scope: tree, filter: eq("objectClass", "person"), attrs: []string{"cn"}, page: page, sort: keys})
		}
	}
	return out
}
