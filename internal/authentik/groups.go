package authentik

import (
	"encoding/json"
	"slices"
)

// Group is a group as the API lists them.
type Group struct {
	PK         string          `json:"pk"`
	NumPK      int             `json:"num_pk"` // not unique
	Name       string          `json:"name"`
	Superuser  bool            `json:"is_superuser"`
	Parent     *string         `json:"parent"`  // up to 2025.10
	Parents    []string        `json:"parents"` // since 2026.5; not nil there
	Children   []string        `json:"children"`
	Users      []int           `json:"users"` // direct members
	Attributes json.RawMessage `json:"attributes"`
}

// ParentIDs returns the ids of the direct parents, whichever version wrote
// them.
func (g *Group) ParentIDs() []string {
	if g.Parent == nil || *g.Parent == "" || slices.Contains(g.Parents, *g.Parent) {
		return g.Parents
	}
	return append(slices.Clip(g.Parents), *g.Parent)
}
