package schema

import "strings"

// Kind is the kind of an object class (RFC 4512 section 2.4).
type Kind uint8

const (
	Abstract Kind = iota
	Structural
	Auxiliary
)

// Class is one object class.
type Class struct {
	Name      string // as entries carry it
	Printed   string // in the subschema, if Name is no legal name there
	OID       string
	Sup       string
	Kind      Kind
	Must, May []string
	own       bool // allows all custom attributes
}

// Names of the object classes that entries carry.
const (
	ClassUser         = "goauthentik.io/ldap/user"
	ClassGroup        = "goauthentik.io/ldap/group"
	ClassVirtualGroup = "goauthentik.io/ldap/virtual-group"
)

func names(s string) []string { return strings.Fields(s) }

// classes is the table of object classes. Each entry has one structural
// chain: inetOrgPerson for users, groupOfNames for groups, organizationalUnit
// for containers. What authentik and Active Directory add to those, some of it
// structural there, is auxiliary here. groupOfNames may be empty, as 389
// Directory Server has it.
var classes = []Class{
	{Name: "top", OID: "2.5.6.0", Kind: Abstract, Must: names("objectClass")},
	{Name: "person", OID: "2.5.6.6", Sup: "top", Kind: Structural,
		Must: names("sn cn"),
		May:  names("userPassword telephoneNumber seeAlso description")},
	{Name: "organizationalPerson", OID: "2.5.6.7", Sup: "person", Kind: Structural,
		May: names("title x121Address registeredAddress destinationIndicator preferredDeliveryMethod telexNumber teletexTerminalIdentifier internationalISDNNumber facsimileTelephoneNumber street postOfficeBox postalCode postalAddress physicalDeliveryOfficeName ou st l")},
	{Name: "inetOrgPerson", OID: "2.16.840.1.113730.3.2.2", Sup: "organizationalPerson", Kind: Structural,
		May: names("audio businessCategory carLicense departmentNumber displayName employeeNumber employeeType givenName homePhone homePostalAddress initials jpegPhoto labeledURI mail manager mobile o pager photo roomNumber secretary uid userCertificate x500UniqueIdentifier preferredLanguage userSMIMECertificate userPKCS12")},
	// user and group allow all that the entries have: clients that refuse the
	// names of authentik's own classes, with their slashes, check against these.
	{Name: "user", OID: "1.2.840.113556.1.5.9", Sup: "top", Kind: Auxiliary, own: true,
		May: names("ak-active ak-superuser goauthentikio-user-sources name displayName uid mail sAMAccountName userPrincipalName memberOf co c company department division objectCategory thumbnailPhoto userAccountControl wWWHomePage")},
	{Name: "posixAccount", OID: "1.3.6.1.1.1.2.0", Sup: "top", Kind: Auxiliary,
		Must: names("cn uid uidNumber gidNumber homeDirectory"),
		May:  names("userPassword loginShell gecos description")},
	{Name: ClassUser, Printed: "goauthentikUser", OID: "1.3.6.1.4.1.26027.1.1.1", Sup: "top", Kind: Auxiliary, own: true,
		May: names("sAMAccountName ak-active ak-superuser memberOf goauthentikio-user-sources")},

	{Name: "groupOfNames", OID: "2.5.6.9", Sup: "top", Kind: Structural,
		Must: names("cn"),
		May:  names("member businessCategory seeAlso owner ou o description")},
	{Name: "groupOfUniqueNames", OID: "2.5.6.17", Sup: "top", Kind: Auxiliary,
		Must: names("cn"),
		May:  names("uniqueMember businessCategory seeAlso owner ou o description")},
	{Name: "group", OID: "1.2.840.113556.1.5.8", Sup: "top", Kind: Auxiliary, own: true,
		Must: names("cn"),
		May:  names("ak-superuser uid member memberOf sAMAccountName groupType mail displayName name description")},
	{Name: "posixGroup", OID: "1.3.6.1.1.1.2.2", Sup: "top", Kind: Auxiliary,
		Must: names("gidNumber"),
		May:  names("cn userPassword memberUid description")},
	{Name: ClassGroup, Printed: "goauthentikGroup", OID: "1.3.6.1.4.1.26027.1.1.5", Sup: "top", Kind: Auxiliary, own: true,
		May: names("uid sAMAccountName ak-superuser memberOf")},
	{Name: ClassVirtualGroup, Printed: "goauthentikVirtualGroup", OID: "1.3.6.1.4.1.26027.1.1.6", Sup: "top", Kind: Auxiliary,
		May: names("uid sAMAccountName ak-superuser")},

	{Name: "organizationalUnit", OID: "2.5.6.5", Sup: "top", Kind: Structural,
		Must: names("ou"),
		May:  names("businessCategory description l postalAddress postalCode seeAlso st street telephoneNumber userPassword")},
	{Name: "nsContainer", OID: "2.16.840.1.113730.3.2.104", Sup: "top", Kind: Auxiliary,
		Must: names("cn"),
		May:  names("distinguishedName")},
	{Name: "domain", OID: "0.9.2342.19200300.100.4.13", Sup: "top", Kind: Structural,
		Must: names("dc"),
		May:  names("associatedName businessCategory description l o postalAddress postalCode seeAlso st street telephoneNumber userPassword")},
	{Name: "organization", OID: "2.5.6.4", Sup: "top", Kind: Structural,
		Must: names("o"),
		May:  names("businessCategory description l postalAddress postalCode seeAlso st street telephoneNumber userPassword")},
	{Name: "country", OID: "2.5.6.2", Sup: "top", Kind: Structural,
		Must: names("c"),
		May:  names("searchGuide description")},
	{Name: "locality", OID: "2.5.6.3", Sup: "top", Kind: Structural,
		May: names("description l seeAlso st street")},
	{Name: "container", OID: "1.2.840.113556.1.3.23", Sup: "top", Kind: Structural,
		Must: names("cn"),
		May:  names("description")},
	{Name: "subentry", OID: "2.5.17.0", Sup: "top", Kind: Structural,
		Must: names("cn subtreeSpecification")},
	{Name: "subschema", OID: "2.5.20.1", Sup: "top", Kind: Auxiliary,
		May: names("dITContentRules attributeTypes objectClasses matchingRules")},
	{Name: "extensibleObject", OID: "1.3.6.1.4.1.1466.101.120.111", Sup: "top", Kind: Auxiliary},
}

// Classes returns the object classes. The caller must not change them.
func Classes() []Class { return classes }

// servedClass maps the lower-case OID and printed name of a class to the
// lower-case name that entries carry.
var servedClass = indexClasses()

func indexClasses() map[string]string {
	m := make(map[string]string, 3*len(classes))
	for _, c := range classes {
		served := strings.ToLower(c.Name)
		m[c.OID] = served
		if c.Printed != "" {
			m[strings.ToLower(c.Printed)] = served
		}
	}
	return m
}
