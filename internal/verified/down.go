package verified

import (
	"fmt"
	"time"
)

// Down returns what is wrong with the store at the moment, nil if nothing is.
func (b *Book) Down() error {
	for _, o := range []*outage{&b.reads, &b.writes} {
		o.mu.Lock()
		since := o.since
		o.mu.Unlock()
		if !since.IsZero() {
			return fmt.Errorf("the store cannot be %s since %s, memory alone answers", o.what, since.UTC().Format(time.RFC3339))
		}
	}
	return nil
}
