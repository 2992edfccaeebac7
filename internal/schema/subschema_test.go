package schema

import (
	"regexp"
	"strings"
	"testing"
)

// The grammar of RFC 4512 section 4.1, with '_' in names.
const (
	numericOID = `[0-2](?:\.(?:0|[1-9][0-9]*))+`
	descr      = `[A-Za-z][A-Za-z0-9_-]*`
	qdescrs    = `(?:'` + descr + `'|\( '` + descr + `'(?: '` + descr + `')* \))`
	oids       = `(?:` + descr + `|\( ` + descr + `(?: \$ ` + descr + `)* \))`
	qdstring   = `'[^']*'`
)

var (
	attributeDefinition = regexp.MustCompile(`^\( (` + numericOID + `) NAME (` + qdescrs + `)(?: EQUALITY (` + descr + `))?(?: ORDERING (` + descr + `))?(?: SUBSTR (` + descr + `))? SYNTAX (` + numericOID + `)(?: SINGLE-VALUE)?(?: NO-USER-MODIFICATION)?(?: USAGE directoryOperation)? \)$`)
	classDefinition     = regexp.MustCompile(`^\( ` + numericOID + ` NAME (` + qdescrs + `)(?: DESC ` + qdstring + `)?(?: SUP (` + descr + `))? (?:ABSTRACT|STRUCTURAL|AUXILIARY)(?: MUST (` + oids + `))?(?: MAY (` + oids + `))? \)$`)
	ruleDefinition      = regexp.MustCompile(`^\( ` + numericOID + `(?: NAME (` + qdescrs + `))? SYNTAX (` + numericOID + `) \)$`)
	syntaxDefinition    = regexp.MustCompile(`^\( (` + numericOID + `) DESC ` + qdstring + ` \)$`)
	word                = regexp.MustCompile(descr)
)

// TestSubschemaGrammar: each definition is legal, and what it refers to is
// defined.
func TestSubschemaGrammar(t *testing.T) {
	sub := Builtin().With([]string{"nextcloud_quota", "title", "co"}).Subschema()
	defined := map[string]bool{"": true}
	define := func(kind, names string) {
		for _, name := range word.FindAllString(names, -1) {
			key := kind + strings.ToLower(name)
			if defined[key] {
				t.Errorf("%s is defined twice", name)
			}
			defined[key] = true
		}
	}
	parse := func(re *regexp.Regexp, defs []string, each func(m []string)) {
		for _, def := range defs {
			m := re.FindStringSubmatch(def)
			if m == nil {
				t.Errorf("not legal: %s", def)
				continue
			}
			each(m)
		}
	}
	refer := func(kind, names string) {
		for _, name := range word.FindAllString(names, -1) {
			if !defined[kind+strings.ToLower(name)] {
				t.Errorf("%s %s is not defined", kind, name)
			}
		}
	}
	parse(syntaxDefinition, sub.LDAPSyntaxes, func(m []string) { defined["syntax "+m[1]] = true })
	parse(ruleDefinition, sub.MatchingRules, func(m []string) {
		define("rule ", m[1])
		if !defined["syntax "+m[2]] {
			t.Errorf("syntax %s is not defined", m[2])
		}
	})
	parse(attributeDefinition, sub.AttributeTypes, func(m []string) {
		define("attribute ", m[2])
		refer("rule ", m[3]+" "+m[4]+" "+m[5])
		if !defined["syntax "+m[6]] {
			t.Errorf("syntax %s is not defined", m[6])
		}
	})
	parse(classDefinition, sub.ObjectClasses, func(m []string) {
		define("class ", m[1])
		refer("class ", m[2])
		refer("attribute ", m[3]+" "+m[4])
	})
	all := strings.Join(append(sub.AttributeTypes, sub.ObjectClasses...), "\n")
	for _, want := range []string{"'userPassword'", "'inetOrgPerson'", "'goauthentikUser' DESC 'object class goauthentik.io/ldap/user'", "'nextcloud_quota'"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(all, "unicodePwd") {
		t.Error("a secret attribute without OID is printed")
	}
}
