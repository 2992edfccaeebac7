package schema

import (
	"math/big"
	"strings"

	"github.com/google/uuid"
)

// customSpace is the namespace of the UUIDs behind the OIDs of custom
// attributes.
var customSpace = uuid.NewSHA1(uuid.NameSpaceOID, []byte("2.25"))

// customType makes the type of an attribute that only this directory has. Its
// OID is stable: a UUID made from the name, under the arc that ITU-T X.667
// gives to UUIDs.
func customType(name string) *AttributeType {
	id := uuid.NewSHA1(customSpace, []byte(strings.ToLower(name)))
	return &AttributeType{
		Name:     name,
		OID:      "2.25." + new(big.Int).SetBytes(id[:]).String(),
		Syntax:   synDirectoryString,
		Equality: caseIgnoreMatch,
		Ordering: caseIgnoreOrderingMatch,
		Substr:   caseIgnoreSubstringsMatch,
		Custom:   true,
	}
}
