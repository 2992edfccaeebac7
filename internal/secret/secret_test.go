package secret_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"ldapd/internal/secret"
)

func TestPrintsNowhere(t *testing.T) {
	s := struct{ Password secret.String }{"planted"}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s.Password, s.Password), string(text)} {
		if strings.Contains(out, "planted") {
			t.Errorf("shown: %s", out)
		}
	}
}
