//go:build !big

package authentik

// The directory that TestLoad reads. With -tags big it is the one that the
// figures in the documentation are of.
const (
	loadUsers  = 4_000
	loadGroups = 450
	loadLimit  = 150 << 10 // KiB of resident memory; most of it is the test binary's own
)
