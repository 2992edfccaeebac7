//go:build big

package authentik

const (
	loadUsers  = 100_000
	loadGroups = 5_000
	loadLimit  = 600 << 10 // KiB of resident memory
)
