package admin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ldapd/internal/control"
)

func TestStatus(t *testing.T) {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	sick := control.Status{
		Version: "1.2", Since: at, Directory: "31 users", Store: "postgres", StoreError: "refused <b>", VerifiedUsers: 3, GoodAnywhere: 2,
		Undecided: []control.Undecided{{Client: "nextcloud", Count: 7, Last: at, Remedy: "set ldapCacheTTL to 0"}},
		Warnings:  []string{"the certificate ends soon", "somebody has the password of <alice>"},
	}
	well := control.Status{Version: "1.2", Since: at, Directory: "31 users", Store: "bolt"}
	var now control.Status
	var broken error
	url := start(t, prometheus.NewRegistry(), nil, func(context.Context) (control.Status, error) { return now, broken })
	ask := func(method, accept string) (int, http.Header, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+"/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header, string(body)
	}
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"

	now = sick
	code, h, body := ask("GET", browser)
	for _, want := range []string{
		"ldapd 1.2", "31 users", "<dd>postgres</dd>", "refused &lt;b&gt;", "<td>nextcloud</td>", `<td class="number">7</td>`, "set ldapCacheTTL to 0",
		"the certificate ends soon", `<time datetime="2026-07-01T12:00:00Z">1 July 2026, 12:00:00 UTC</time>`, "<dd>3, 2 of them with codes", `<p class="bad">somebody has the password of &lt;alice&gt;</p>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in\n%s", want, body)
		}
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(body)
	if style == nil {
		t.Fatal("no style")
	}
	sum := sha256.Sum256([]byte(style[1]))
	if p := h.Get("Content-Security-Policy"); !strings.Contains(p, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("the policy %q forbids the style", p)
	}
	if code != 200 || h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("Cache-Control") != "no-store" || h.Get("Vary") != "Accept" {
		t.Errorf("%d %v", code, h)
	}

	for _, accept := range []string{"application/json", "*/*", ""} {
		code, h, body := ask("GET", accept)
		var got control.Status
		if err := json.Unmarshal([]byte(body), &got); code != 200 || err != nil || !reflect.DeepEqual(got, sick) || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v %+v, %v", accept, code, h, got, err)
		}
	}

	now = well
	if _, _, body := ask("GET", browser); !strings.Contains(body, "<dd>bolt, in order</dd>") || !strings.Contains(body, "<p>None.</p>") || strings.Contains(body, `class="bad"`) || strings.Contains(body, "<table>") {
		t.Error(body)
	}
	if _, _, body := ask("GET", browser); !strings.Contains(body, "<dd>0</dd>") {
		t.Error(body)
	}
	if code, _, _ := ask("POST", browser); code != 405 {
		t.Errorf("POST: %d", code)
	}
	broken = errors.New("not now")
	if code, _, body := ask("GET", browser); code != 503 || body != "not now\n" {
		t.Errorf("%d %q", code, body)
	}
}
