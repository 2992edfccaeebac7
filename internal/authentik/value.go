package authentik

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"time"
)

// integer takes any JSON number, for the API says "number" where it means an
// integer.
type integer int

func (i *integer) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*i = integer(max(min(f, math.MaxInt32), math.MinInt32))
	return nil
}

// Time is a point in time; what cannot be read, and null, is the zero time.
type Time struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(bytes.TrimSpace(b)), `"`)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if parsed, err := time.Parse(layout, s); err == nil {
			t.Time = parsed.UTC()
			return nil
		}
	}
	t.Time = time.Time{}
	return nil
}
