package login

// Kept returns how much is kept of searches and binds that are open.
func (t *Tracker) Kept() int { return len(t.conns) + len(t.ids) + len(t.users) }
