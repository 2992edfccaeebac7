package local

import _ "embed"

//go:embed demo.yaml
var demo []byte

// Demo returns the directory of ldapd demo. Its passwords are in the README.
func Demo(uid UIDFrom) (*File, error) { return Parse("demo.yaml", demo, uid) }
