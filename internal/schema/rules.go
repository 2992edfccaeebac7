package schema

import "strings"

// Syntaxes (RFC 4517 section 3.3, RFC 4530).
const (
	synPrefix = "1.3.6.1.4.1.1466.115.121.1."

	synAttributeType   = synPrefix + "3"
	synBinary          = synPrefix + "5"
	synBitString       = synPrefix + "6"
	synBoolean         = synPrefix + "7"
	synCertificate     = synPrefix + "8"
	synCountry         = synPrefix + "11"
	synDN              = synPrefix + "12"
	synDeliveryMethod  = synPrefix + "14"
	synDirectoryString = synPrefix + "15"
	synContentRule     = synPrefix + "16"
	synFax             = synPrefix + "22"
	synTime            = synPrefix + "24"
	synIA5             = synPrefix + "26"
	synInteger         = synPrefix + "27"
	synJPEG            = synPrefix + "28"
	synMatchingRule    = synPrefix + "30"
	synNameOptionalUID = synPrefix + "34"
	synNumeric         = synPrefix + "36"
	synObjectClass     = synPrefix + "37"
	synOID             = synPrefix + "38"
	synOctets          = synPrefix + "40"
	synPostal          = synPrefix + "41"
	synPrintable       = synPrefix + "44"
	synSubtree         = synPrefix + "45"
	synTelephone       = synPrefix + "50"
	synTeletex         = synPrefix + "51"
	synTelex           = synPrefix + "52"
	synSyntax          = synPrefix + "54"
	synSubstrings      = synPrefix + "58"
	synUUID            = "1.3.6.1.1.16.1"
)

var syntaxes = []struct{ oid, desc string }{
	{synAttributeType, "Attribute Type Description"},
	{synBinary, "Binary"},
	{synBitString, "Bit String"},
	{synBoolean, "Boolean"},
	{synCertificate, "Certificate"},
	{synCountry, "Country String"},
	{synDN, "DN"},
	{synDeliveryMethod, "Delivery Method"},
	{synDirectoryString, "Directory String"},
	{synContentRule, "DIT Content Rule Description"},
	{synFax, "Facsimile Telephone Number"},
	{synTime, "Generalized Time"},
	{synIA5, "IA5 String"},
	{synInteger, "INTEGER"},
	{synJPEG, "JPEG"},
	{synMatchingRule, "Matching Rule Description"},
	{synNameOptionalUID, "Name And Optional UID"},
	{synNumeric, "Numeric String"},
	{synObjectClass, "Object Class Description"},
	{synOID, "OID"},
	{synOctets, "Octet String"},
	{synPostal, "Postal Address"},
	{synPrintable, "Printable String"},
	{synSubtree, "Subtree Specification"},
	{synTelephone, "Telephone Number"},
	{synTeletex, "Teletex Terminal Identifier"},
	{synTelex, "Telex Number"},
	{synSyntax, "LDAP Syntax Description"},
	{synSubstrings, "Substring Assertion"},
	{synUUID, "UUID"},
}

// Matching rules (RFC 4517 section 4.2, RFC 4530, RFC 2307, and three of
// Active Directory's that clients know by OID).
var (
	objectIdentifierMatch      = &Rule{Name: "objectIdentifierMatch", OID: "2.5.13.0", Syntax: synOID, form: formOID}
	distinguishedNameMatch     = &Rule{Name: "distinguishedNameMatch", OID: "2.5.13.1", Syntax: synDN, form: formDN}
	caseIgnoreMatch            = &Rule{Name: "caseIgnoreMatch", OID: "2.5.13.2", Syntax: synDirectoryString, form: formIgnore}
	caseIgnoreOrderingMatch    = &Rule{Name: "caseIgnoreOrderingMatch", OID: "2.5.13.3", Syntax: synDirectoryString, Use: Ordering, form: formIgnore}
	caseIgnoreSubstringsMatch  = &Rule{Name: "caseIgnoreSubstringsMatch", OID: "2.5.13.4", Syntax: synSubstrings, Use: Substrings, form: formIgnore}
	caseExactMatch             = &Rule{Name: "caseExactMatch", OID: "2.5.13.5", Syntax: synDirectoryString, form: formExact}
	caseExactOrderingMatch     = &Rule{Name: "caseExactOrderingMatch", OID: "2.5.13.6", Syntax: synDirectoryString, Use: Ordering, form: formExact}
	caseExactSubstringsMatch   = &Rule{Name: "caseExactSubstringsMatch", OID: "2.5.13.7", Syntax: synSubstrings, Use: Substrings, form: formExact}
	numericStringMatch         = &Rule{Name: "numericStringMatch", OID: "2.5.13.8", Syntax: synNumeric, form: formNumeric}
	numericStringOrderingMatch = &Rule{Name: "numericStringOrderingMatch", OID: "2.5.13.9", Syntax: synNumeric, Use: Ordering, form: formNumeric}
	numericStringSubstrings    = &Rule{Name: "numericStringSubstringsMatch", OID: "2.5.13.10", Syntax: synSubstrings, Use: Substrings, form: formNumeric}
	caseIgnoreListMatch        = &Rule{Name: "caseIgnoreListMatch", OID: "2.5.13.11", Syntax: synPostal, form: formList}
	caseIgnoreListSubstrings   = &Rule{Name: "caseIgnoreListSubstringsMatch", OID: "2.5.13.12", Syntax: synSubstrings, Use: Substrings, form: formList}
	booleanMatch               = &Rule{Name: "booleanMatch", OID: "2.5.13.13", Syntax: synBoolean, form: formBoolean}
	integerMatch               = &Rule{Name: "integerMatch", OID: "2.5.13.14", Syntax: synInteger, form: formInteger}
	integerOrderingMatch       = &Rule{Name: "integerOrderingMatch", OID: "2.5.13.15", Syntax: synInteger, Use: Ordering, form: formInteger}
	bitStringMatch             = &Rule{Name: "bitStringMatch", OID: "2.5.13.16", Syntax: synBitString, form: formOctets}
	octetStringMatch           = &Rule{Name: "octetStringMatch", OID: "2.5.13.17", Syntax: synOctets, form: formOctets}
	octetStringOrderingMatch   = &Rule{Name: "octetStringOrderingMatch", OID: "2.5.13.18", Syntax: synOctets, Use: Ordering, form: formOctets}
	telephoneNumberMatch       = &Rule{Name: "telephoneNumberMatch", OID: "2.5.13.20", Syntax: synTelephone, form: formTelephone}
	telephoneNumberSubstrings  = &Rule{Name: "telephoneNumberSubstringsMatch", OID: "2.5.13.21", Syntax: synSubstrings, Use: Substrings, form: formTelephone}
	uniqueMemberMatch          = &Rule{Name: "uniqueMemberMatch", OID: "2.5.13.23", Syntax: synNameOptionalUID, form: formDN}
	generalizedTimeMatch       = &Rule{Name: "generalizedTimeMatch", OID: "2.5.13.27", Syntax: synTime, form: formTime}
	generalizedTimeOrdering    = &Rule{Name: "generalizedTimeOrderingMatch", OID: "2.5.13.28", Syntax: synTime, Use: Ordering, form: formTime}
	firstComponentMatch        = &Rule{Name: "objectIdentifierFirstComponentMatch", OID: "2.5.13.30", Syntax: synOID, form: formFirst}
	caseExactIA5Match          = &Rule{Name: "caseExactIA5Match", OID: "1.3.6.1.4.1.1466.109.114.1", Syntax: synIA5, form: formExact}
	caseIgnoreIA5Match         = &Rule{Name: "caseIgnoreIA5Match", OID: "1.3.6.1.4.1.1466.109.114.2", Syntax: synIA5, form: formIgnore}
	caseIgnoreIA5Substrings    = &Rule{Name: "caseIgnoreIA5SubstringsMatch", OID: "1.3.6.1.4.1.1466.109.114.3", Syntax: synSubstrings, Use: Substrings, form: formIgnore}
	caseExactIA5Substrings     = &Rule{Name: "caseExactIA5SubstringsMatch", OID: "1.3.6.1.4.1.4203.1.2.1", Syntax: synSubstrings, Use: Substrings, form: formExact}
	uuidMatch                  = &Rule{Name: "uuidMatch", OID: "1.3.6.1.1.16.2", Syntax: synUUID, form: formUUID}
	uuidOrderingMatch          = &Rule{Name: "uuidOrderingMatch", OID: "1.3.6.1.1.16.3", Syntax: synUUID, Use: Ordering, form: formUUID}
	bitAndMatch                = &Rule{OID: "1.2.840.113556.1.4.803", Syntax: synInteger, Use: BitAnd, form: formInteger, alt: "LDAP_MATCHING_RULE_BIT_AND"}
	bitOrMatch                 = &Rule{OID: "1.2.840.113556.1.4.804", Syntax: synInteger, Use: BitOr, form: formInteger, alt: "LDAP_MATCHING_RULE_BIT_OR"}
	inChainMatch               = &Rule{OID: "1.2.840.113556.1.4.1941", Syntax: synDN, Use: Chain, form: formDN, alt: "LDAP_MATCHING_RULE_IN_CHAIN"}
)

var rules = []*Rule{
	objectIdentifierMatch, distinguishedNameMatch,
	caseIgnoreMatch, caseIgnoreOrderingMatch, caseIgnoreSubstringsMatch,
	caseExactMatch, caseExactOrderingMatch, caseExactSubstringsMatch,
	numericStringMatch, numericStringOrderingMatch, numericStringSubstrings,
	caseIgnoreListMatch, caseIgnoreListSubstrings,
	booleanMatch, integerMatch, integerOrderingMatch, bitStringMatch,
	octetStringMatch, octetStringOrderingMatch,
	telephoneNumberMatch, telephoneNumberSubstrings, uniqueMemberMatch,
	generalizedTimeMatch, generalizedTimeOrdering, firstComponentMatch,
	caseExactIA5Match, caseIgnoreIA5Match, caseIgnoreIA5Substrings, caseExactIA5Substrings,
	uuidMatch, uuidOrderingMatch, bitAndMatch, bitOrMatch, inChainMatch,
}

var rulesByName = indexRules()

func indexRules() map[string]*Rule {
	m := make(map[string]*Rule, 2*len(rules))
	for _, r := range rules {
		m[r.OID] = r
		for _, name := range []string{r.Name, r.alt} {
			if name != "" {
				m[strings.ToLower(name)] = r
			}
		}
	}
	return m
}
