package cache

import "time"

// SetQuiet sets how long Watch is quiet from one test to the next, and how long
// it waits for what it hears of it.
func (p *Postgres) SetQuiet(quiet, patience time.Duration) { p.quiet, p.patience = quiet, patience }

var ErrDeaf = errDeaf
