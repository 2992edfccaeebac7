package authentik

import (
	"bytes"
	"testing"
)

func FuzzPage(f *testing.F) {
	for _, s := range []string{
		emptyPage, `{}`, `[]`, `{"pagination":{"next":2,"count":1e99},"results":[{"pk":1}],"autocomplete":{}}`,
		`{"results":[{"pk":1},`, `{"pagination":null,"results":[null]}`, `{"results":{}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := decodePage[User](bytes.NewReader(body))
		if err == nil && p.results == nil {
			t.Fatal("a page without results")
		}
	})
}
