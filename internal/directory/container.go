package directory

import (
	"strings"

	"github.com/google/uuid"

	"ldapd/internal/ldap"
	"ldapd/internal/schema"
)

// rootClasses gives the structural object class that an attribute of the
// base's name calls for.
var rootClasses = map[uint16]string{
	schema.DC: "domain",
	schema.O:  "organization",
	schema.OU: "organizationalUnit",
	schema.C:  "country",
	schema.L:  "locality",
	schema.ST: "locality",
	schema.CN: "container",
}

// encodeBase stores the root entry.
func (b *tree) encodeBase(base ldap.DN) {
	encodeBase(b.builder, b.BaseDN, base)
}

func encodeBase(b *builder, dn string, base ldap.DN) {
	rdn := base[0]
	structural, classes := "locality", []string{"top"}
	at, ok := b.schema.Lookup([]byte(rdn[0].Type))
	if ok && rootClasses[at.ID] != "" {
		structural = rootClasses[at.ID]
	}
	classes = append(classes, structural)
	if !ok || rootClasses[at.ID] == "" || len(rdn) > 1 {
		classes = append(classes, "extensibleObject")
	}
	b.begin(b.newKind(structural, classes...))
	for _, ava := range rdn {
		at, ok := b.schema.Lookup([]byte(ava.Type))
		if ok && !at.Operational && at.ID != schema.ObjectClass {
			b.add(at.ID, ava.Value)
		}
	}
	b.finish(dn, nameUUID(dn), true)
}

// encodeContainer stores ou=users, ou=groups or ou=virtual-groups.
func (b *tree) encodeContainer(i int, hasChildren bool) ID {
	return encodeContainer(b.builder, b.containerDN[i], containers[i], hasChildren)
}

func encodeContainer(b *builder, dn, name string, hasChildren bool) ID {
	b.begin(b.newKind("organizationalUnit", "top", "nsContainer", "organizationalUnit"))
	b.add(schema.OU, name)
	b.add(schema.CN, name)
	b.add(schema.DistinguishedName, dn)
	return b.finish(dn, nameUUID(dn), hasChildren)
}

// nameUUID makes the UUID of an entry that has nothing but its name.
func nameUUID(dn string) string {
	norm, err := ldap.NormalizeDN(nil, []byte(dn))
	if err != nil {
		norm = []byte(strings.ToLower(dn))
	}
	return uuid.NewSHA1(uuid.NameSpaceX500, norm).String()
}
