package schema

// IDs of the attribute types that the directory itself serves. They index
// the table below.
const (
	ObjectClass uint16 = iota
	CN
	SAMAccountName
	UID
	Name
	DisplayName
	SN
	GivenName
	Mail
	MemberOf
	Active
	SuperUser
	UIDNumber
	GIDNumber
	HomeDirectory
	PwdChangedTime
	CreateTimestamp
	ModifyTimestamp
	Member
	UniqueMember
	MemberUID
	OU
	O
	DC
	C
	L
	ST
	DistinguishedName
	EntryUUID
	EntryDN
	StructuralObjectClass
	SubschemaSubentry
	HasSubordinates
	SubtreeSpecification
	AttributeTypes
	ObjectClasses
	MatchingRules
	LDAPSyntaxes
)

// values is what attribute types of one syntax have in common.
type values struct {
	syntax                     string
	equality, ordering, substr *Rule
}

var (
	text      = values{synDirectoryString, caseIgnoreMatch, caseIgnoreOrderingMatch, caseIgnoreSubstringsMatch}
	exact     = values{synDirectoryString, caseExactMatch, caseExactOrderingMatch, caseExactSubstringsMatch}
	ia5       = values{synIA5, caseIgnoreIA5Match, nil, caseIgnoreIA5Substrings}
	ia5Exact  = values{synIA5, caseExactIA5Match, nil, caseExactIA5Substrings}
	printable = values{synPrintable, caseIgnoreMatch, nil, caseIgnoreSubstringsMatch}
	dn        = values{synDN, distinguishedNameMatch, nil, nil}
	nameUID   = values{synNameOptionalUID, uniqueMemberMatch, nil, nil}
	integer   = values{synInteger, integerMatch, integerOrderingMatch, nil}
	boolean   = values{synBoolean, booleanMatch, nil, nil}
	timestamp = values{synTime, generalizedTimeMatch, generalizedTimeOrdering, nil}
	oid       = values{synOID, objectIdentifierMatch, nil, nil}
	octets    = values{synOctets, octetStringMatch, octetStringOrderingMatch, nil}
	phone     = values{synTelephone, telephoneNumberMatch, nil, telephoneNumberSubstrings}
	numeric   = values{synNumeric, numericStringMatch, numericStringOrderingMatch, numericStringSubstrings}
	postal    = values{synPostal, caseIgnoreListMatch, nil, caseIgnoreListSubstrings}
	uuidText  = values{synUUID, uuidMatch, uuidOrderingMatch, nil}
)

// opaque values have no matching rules.
func opaque(syntax string) values { return values{syntax: syntax} }

// flags of a row.
const (
	single = 1 << iota
	noMod
	oper
	withUser
	nameLike
	prefixLike
	binary
	secret
)

// attr makes a row. Its names are the one served and its aliases.
func attr(oid string, v values, flags int, name string, aliases ...string) AttributeType {
	return AttributeType{
		Name: name, Aliases: aliases, OID: oid,
		Syntax: v.syntax, Equality: v.equality, Ordering: v.ordering, Substr: v.substr,
		SingleValue: flags&single != 0,
		NoUserMod:   flags&noMod != 0,
		Operational: flags&oper != 0,
		WithUser:    flags&withUser != 0,
		NameLike:    flags&nameLike != 0,
		PrefixLike:  flags&(nameLike|prefixLike) != 0,
		Binary:      flags&binary != 0,
		Secret:      flags&secret != 0,
	}
}

// also adds an OID by which another server knows the attribute.
func (at AttributeType) also(oid string) AttributeType {
	at.altOIDs = append(at.altOIDs, oid)
	return at
}

// attributes is the table of built-in attribute types. OIDs are those of the
// RFCs, or else of Active Directory, 389 Directory Server and authentik; where
// authentik's outpost announces another one, that is found as well.
var attributes = [...]AttributeType{
	ObjectClass:    attr("2.5.4.0", oid, 0, "objectClass"),
	CN:             attr("2.5.4.3", text, nameLike, "cn", "commonName"),
	SAMAccountName: attr("1.2.840.113556.1.4.221", text, single|nameLike, "sAMAccountName"),
	UID:            attr("0.9.2342.19200300.100.1.1", text, prefixLike, "uid", "userid"),
	Name:           attr("2.5.4.41", text, nameLike, "name").also("1.2.840.113556.1.4.1"),
	DisplayName:    attr("2.16.840.1.113730.3.1.241", text, single|nameLike, "displayName").also("1.2.840.113556.1.2.13"),
	SN:             attr("2.5.4.4", text, nameLike, "sn", "surname"),
	GivenName:      attr("2.5.4.42", text, nameLike, "givenName", "gn"),
	Mail:           attr("0.9.2342.19200300.100.1.3", ia5, nameLike, "mail", "rfc822Mailbox"),
	MemberOf:       attr("1.2.840.113556.1.2.102", dn, 0, "memberOf"),
	Active:         attr("1.3.6.1.4.1.26027.1.1.3", boolean, single, "ak-active", "goauthentik.io/ldap/active"),
	SuperUser:      attr("1.3.6.1.4.1.26027.1.1.2", boolean, single, "ak-superuser", "goauthentik.io/ldap/superuser"),
	UIDNumber:      attr("1.3.6.1.1.1.1.0", integer, single, "uidNumber"),
	GIDNumber:      attr("1.3.6.1.1.1.1.1", integer, single, "gidNumber"),
	// Active Directory's definition, which ignores case as authentik does,
	// under the OID that POSIX clients know as well.
	HomeDirectory:         attr("1.2.840.113556.1.4.44", text, single, "homeDirectory").also("1.3.6.1.1.1.1.3"),
	PwdChangedTime:        attr("1.3.6.1.4.1.42.2.27.8.1.16", timestamp, single|noMod|oper|withUser, "pwdChangedTime"),
	CreateTimestamp:       attr("2.5.18.1", timestamp, single|noMod|oper|withUser, "createTimestamp"),
	ModifyTimestamp:       attr("2.5.18.2", timestamp, single|noMod|oper|withUser, "modifyTimestamp"),
	Member:                attr("2.5.4.31", dn, 0, "member"),
	UniqueMember:          attr("2.5.4.50", nameUID, 0, "uniqueMember"),
	MemberUID:             attr("1.3.6.1.1.1.1.12", ia5Exact, 0, "memberUid"),
	OU:                    attr("2.5.4.11", text, 0, "ou", "organizationalUnitName"),
	O:                     attr("2.5.4.10", text, 0, "o", "organizationName"),
	DC:                    attr("0.9.2342.19200300.100.1.25", ia5, single, "dc", "domainComponent"),
	C:                     attr("2.5.4.6", values{synCountry, caseIgnoreMatch, nil, caseIgnoreSubstringsMatch}, single, "c", "countryName"),
	L:                     attr("2.5.4.7", text, 0, "l", "localityName"),
	ST:                    attr("2.5.4.8", text, 0, "st", "stateOrProvinceName"),
	DistinguishedName:     attr("2.5.4.49", dn, 0, "distinguishedName"),
	EntryUUID:             attr("1.3.6.1.1.16.4", uuidText, single|noMod|oper, "entryUUID"),
	EntryDN:               attr("1.3.6.1.1.20", dn, single|noMod|oper, "entryDN"),
	StructuralObjectClass: attr("2.5.21.9", oid, single|noMod|oper, "structuralObjectClass"),
	SubschemaSubentry:     attr("2.5.18.10", dn, single|noMod|oper, "subschemaSubentry"),
	HasSubordinates:       attr("2.5.18.9", boolean, single|noMod|oper, "hasSubordinates"),
	SubtreeSpecification:  attr("2.5.18.6", opaque(synSubtree), single|oper, "subtreeSpecification"),
	AttributeTypes:        attr("2.5.21.5", values{synAttributeType, firstComponentMatch, nil, nil}, oper, "attributeTypes"),
	ObjectClasses:         attr("2.5.21.6", values{synObjectClass, firstComponentMatch, nil, nil}, oper, "objectClasses"),
	MatchingRules:         attr("2.5.21.4", values{synMatchingRule, firstComponentMatch, nil, nil}, oper, "matchingRules"),
	LDAPSyntaxes:          attr("1.3.6.1.4.1.1466.101.120.16", values{synSyntax, firstComponentMatch, nil, nil}, oper, "ldapSyntaxes"),

	// Root DSE (RFC 4512 section 5.1, RFC 3045, Active Directory).
	attr("1.3.6.1.4.1.1466.101.120.5", dn, oper, "namingContexts"),
	attr("1.3.6.1.4.1.1466.101.120.6", ia5, oper, "altServer"),
	attr("1.3.6.1.4.1.1466.101.120.7", oid, oper, "supportedExtension"),
	attr("1.3.6.1.4.1.1466.101.120.13", oid, oper, "supportedControl"),
	attr("1.3.6.1.4.1.1466.101.120.14", text, oper, "supportedSASLMechanisms"),
	attr("1.3.6.1.4.1.1466.101.120.15", integer, oper, "supportedLDAPVersion"),
	attr("1.3.6.1.4.1.4203.1.3.5", oid, oper, "supportedFeatures"),
	attr("1.2.840.113556.1.4.1483", oid, oper, "supportedCapabilities"),
	attr("1.2.840.113556.1.2.507", dn, single|oper, "rootDomainNamingContext"),
	attr("1.2.840.113556.1.4.1400", dn, single|oper, "defaultNamingContext"),
	attr("1.3.6.1.1.4", text, single|noMod|oper, "vendorName"),
	attr("1.3.6.1.1.5", text, single|noMod|oper, "vendorVersion"),
	attr("2.5.21.2", values{synContentRule, firstComponentMatch, nil, nil}, oper, "dITContentRules"),
	attr("2.5.18.3", dn, single|noMod|oper, "creatorsName"),
	attr("2.5.18.4", dn, single|noMod|oper, "modifiersName"),

	// person, organizationalPerson and inetOrgPerson (RFC 4519, 4524, 2798).
	attr("2.5.4.13", text, 0, "description"),
	attr("2.5.4.20", phone, 0, "telephoneNumber"),
	attr("2.5.4.34", dn, 0, "seeAlso"),
	attr("2.5.4.35", octets, secret, "userPassword"),
	attr("2.5.4.12", text, 0, "title"),
	attr("2.5.4.24", numeric, 0, "x121Address"),
	attr("2.5.4.26", postal, 0, "registeredAddress"),
	attr("2.5.4.27", printable, 0, "destinationIndicator"),
	attr("2.5.4.28", opaque(synDeliveryMethod), single, "preferredDeliveryMethod"),
	attr("2.5.4.21", opaque(synTelex), 0, "telexNumber"),
	attr("2.5.4.22", opaque(synTeletex), 0, "teletexTerminalIdentifier"),
	attr("2.5.4.25", numeric, 0, "internationalISDNNumber"),
	attr("2.5.4.23", opaque(synFax), 0, "facsimileTelephoneNumber", "fax"),
	attr("2.5.4.9", text, 0, "street", "streetAddress"),
	attr("2.5.4.18", text, 0, "postOfficeBox"),
	attr("2.5.4.17", text, 0, "postalCode"),
	attr("2.5.4.16", postal, 0, "postalAddress"),
	attr("2.5.4.19", text, 0, "physicalDeliveryOfficeName"),
	attr("0.9.2342.19200300.100.1.55", opaque(synBinary), binary, "audio"),
	attr("2.5.4.15", text, 0, "businessCategory"),
	attr("2.16.840.1.113730.3.1.1", text, 0, "carLicense"),
	attr("2.16.840.1.113730.3.1.2", text, 0, "departmentNumber"),
	attr("2.16.840.1.113730.3.1.3", text, single, "employeeNumber"),
	attr("2.16.840.1.113730.3.1.4", text, 0, "employeeType"),
	attr("0.9.2342.19200300.100.1.20", phone, 0, "homePhone", "homeTelephoneNumber"),
	attr("0.9.2342.19200300.100.1.39", postal, 0, "homePostalAddress"),
	attr("2.5.4.43", text, 0, "initials"),
	attr("0.9.2342.19200300.100.1.60", opaque(synJPEG), binary, "jpegPhoto"),
	attr("1.3.6.1.4.1.250.1.57", exact, 0, "labeledURI"),
	attr("0.9.2342.19200300.100.1.10", dn, 0, "manager"),
	attr("0.9.2342.19200300.100.1.41", phone, 0, "mobile", "mobileTelephoneNumber"),
	attr("0.9.2342.19200300.100.1.42", phone, 0, "pager", "pagerTelephoneNumber"),
	attr("0.9.2342.19200300.100.1.7", opaque(synOctets), binary, "photo"),
	attr("0.9.2342.19200300.100.1.6", text, 0, "roomNumber"),
	attr("0.9.2342.19200300.100.1.21", dn, 0, "secretary"),
	attr("2.5.4.36", opaque(synCertificate), binary, "userCertificate"),
	attr("2.5.4.45", values{synBitString, bitStringMatch, nil, nil}, 0, "x500UniqueIdentifier"),
	attr("2.16.840.1.113730.3.1.39", text, single, "preferredLanguage"),
	attr("2.16.840.1.113730.3.1.40", opaque(synBinary), binary, "userSMIMECertificate"),
	attr("2.16.840.1.113730.3.1.216", opaque(synBinary), secret|binary, "userPKCS12"),

	// Groups, domains and organisations (RFC 4519, 4524).
	attr("2.5.4.32", dn, 0, "owner"),
	attr("2.5.4.14", opaque(synOctets), 0, "searchGuide"),
	attr("0.9.2342.19200300.100.1.37", dn, 0, "associatedName"),
	attr("0.9.2342.19200300.100.1.38", ia5, 0, "associatedDomain"),

	// POSIX (RFC 2307).
	attr("1.3.6.1.1.1.1.2", ia5, single, "gecos"),
	attr("1.3.6.1.1.1.1.4", ia5Exact, single, "loginShell"),
	attr("1.3.6.1.4.1.24552.500.1.1.1.13", octets, 0, "sshPublicKey"),

	// Active Directory, and what authentik adds.
	attr("1.2.840.113556.1.4.656", text, single|nameLike, "userPrincipalName"),
	attr("1.2.840.113556.1.2.35", opaque(synOctets), single|binary, "thumbnailPhoto"),
	attr("1.2.840.113556.1.2.131", text, single, "co"),
	attr("1.2.840.113556.1.2.141", text, single, "department"),
	attr("1.2.840.113556.1.2.146", text, single, "company"),
	attr("1.2.840.113556.1.4.261", text, single, "division"),
	attr("1.2.840.113556.1.4.750", integer, single, "groupType"),
	attr("1.2.840.113556.1.4.782", dn, single, "objectCategory"),
	attr("1.2.840.113556.1.4.8", integer, single, "userAccountControl"),
	attr("1.2.840.113556.1.2.464", text, single, "wWWHomePage"),
	attr("1.3.6.1.4.1.26027.1.1.4", text, 0, "goauthentikio-user-sources", "goauthentik.io/ldap/sources", "goauthentik.io/user/sources"),

	// Credentials that someone might keep among the free attributes of a
	// user. They are known, by name only, so that they are never served.
	attr("", octets, secret, "authPassword"),
	attr("", octets, secret, "unicodePwd"),
	attr("", octets, secret, "dBCSPwd"),
	attr("", octets, secret, "ntPwdHistory"),
	attr("", octets, secret, "lmPwdHistory"),
	attr("", octets, secret, "supplementalCredentials"),
	attr("", octets, secret, "sambaLMPassword"),
	attr("", octets, secret, "sambaNTPassword"),
	attr("", octets, secret, "sambaPasswordHistory"),
	attr("", octets, secret, "krbPrincipalKey"),
	attr("", octets, secret, "pwdHistory"),
	attr("", octets, secret, "ipatokenOTPkey"),
	attr("", octets, secret, "ipaNTHash"),
}
