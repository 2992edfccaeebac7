package authentik

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ldapd/internal/auth"
	"ldapd/internal/authentik/authentiktest"
)

// set makes a response with cookies.
func set(cookies ...string) *http.Response {
	return &http.Response{Header: http.Header{"Set-Cookie": cookies}}
}

func TestJar(t *testing.T) {
	past := time.Unix(1_000_000_000, 0).UTC().Format(http.TimeFormat)
	tests := []struct {
		name    string
		cookies []string
		want    string
	}{
		{"in order", []string{"a=1; Path=/", "b=2; Secure; Domain=example.org"}, "a=1; b=2"},
		{"the last counts", []string{"a=1", "b=2", "a=3"}, "a=3; b=2"},
		{"emptied", []string{"a=1", "b=2", "a="}, "b=2"},
		{"quoted empty", []string{"a=1", `a=""; Max-Age=0`}, ""},
		{"expired", []string{"a=1", "a=2; Expires=" + past}, ""},
		{"a clock that is behind", []string{"a=1; Max-Age=60; Expires=" + past}, "a=1"},
		{"never set", []string{"a=; Max-Age=0"}, ""},
		{"malformed", []string{"", "=x", "a"}, ""},
	}
	for _, tt := range tests {
		var j jar
		for _, c := range tt.cookies {
			j.store(set(c), time.Now())
		}
		if got := j.String(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	var j jar
	for i := range 10 * maxCookies {
		j.store(set(fmt.Sprintf("c%d=x", i)), time.Now())
	}
	if len(j.cookies) != maxCookies {
		t.Errorf("%d cookies", len(j.cookies))
	}
}

func TestSID(t *testing.T) {
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"sid":"abc","iss":"authentik"}`))
	for value, want := range map[string]string{
		"h." + claims + ".s":   "abc",
		"h." + claims + "==.s": "abc",
		"h." + claims:          "",
		"":                     "",
		"h.!.s":                "",
		"h.e30.s":              "",
		"h.W10.s":              "",
	} {
		var j jar
		j.set(sessionCookie, value)
		if got := j.sid(); got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
	if got, want := sidHash("abc"), authentiktest.SessionHash("abc"); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	if got := sidHash(""); got != "" {
		t.Errorf("hash of nothing: %s", got)
	}
}

// Whatever a challenge holds, it is answered, refused or not understood, and
// the password goes to nobody but the stages that ask for it.
func FuzzChallenge(f *testing.F) {
	for _, s := range []string{
		`{"component":"ak-stage-identification","user_fields":["username"],"password_fields":true,"captcha_stage":null}`,
		`{"component":"ak-stage-password","response_errors":{"password":[{"string":"x","code":"invalid"}]}}`,
		`{"component":"ak-stage-authenticator-validate","device_challenges":[{"device_class":"duo","device_uid":"12"},{"device_class":"totp","device_uid":"1"}]}`,
		`{"component":"ak-stage-authenticator-validate","device_challenges":[{"device_class":"duo","device_uid":"x"}]}`,
		`{"component":"ak-stage-consent","token":"t"}`,
		`{"component":"xak-flow-redirect","to":"/"}`,
		`{"component":"ak-stage-access-denied","error_message":"no"}`,
		`{"component":"ak-stage-flow-error","request_id":"x"}`,
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, again bool) {
		var ch challenge
		if json.Unmarshal(body, &ch) != nil {
			return
		}
		x := &execution{Execution: Execution{Username: "alice", Password: plantedPassword, Code: "123456"}, answered: map[string]bool{ch.Component: again}}
		if x.judge(ch) != nil {
			return
		}
		if again {
			t.Fatal("a stage that was answered is to be answered again")
		}
		answer, err := x.answer(ch)
		if err != nil {
			return
		}
		switch answer.(type) {
		case identificationAnswer, passwordAnswer, codeAnswer, duoAnswer, loginAnswer, consentAnswer:
		default:
			t.Fatalf("answer %T", answer)
		}
		b, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		var sent struct {
			Component, Password string
		}
		if err := json.Unmarshal(b, &sent); err != nil || sent.Component != ch.Component {
			t.Fatalf("%s: %v", b, err)
		}
		if asks := ch.Component == componentIdentification || ch.Component == componentPassword; (sent.Password == plantedPassword) != asks {
			t.Fatalf("%s is answered with %s", ch.Component, b)
		}
	})
}

func TestCookiePrintsNoValue(t *testing.T) {
	s := Session{Cookies: []Cookie{{"a", "planted"}}, MFACookie: auth.Secret("planted")}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, s); len(got) == 0 || strings.Contains(got, "planted") {
			t.Errorf("%s: %s", format, got)
		}
	}
}
