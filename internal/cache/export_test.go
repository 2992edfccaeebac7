package cache

import "time"

// SetQuiet sets how long PostgreSQL may be silent before Watch asks.
func (p *Postgres) SetQuiet(d time.Duration) { p.quiet = d }
