package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"ldapd/internal/control"
)

//go:embed status.html
var statusText string

//go:embed status.css
var statusStyle string

var statusTemplate = template.Must(template.New("status").Funcs(template.FuncMap{
	"style":   func() template.CSS { return template.CSS(statusStyle) },
	"machine": func(t time.Time) string { return t.Format(time.RFC3339) },
	"human":   func(t time.Time) string { return t.Format("2 January 2006, 15:04:05 MST") },
}).Parse(statusText))

// status shows how the server does: to browsers as a page, to others as JSON.
func status(of func(context.Context) (control.Status, error), log *zap.Logger) http.HandlerFunc {
	sum := sha256.Sum256([]byte(statusStyle))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Vary", "Accept")
		st, err := of(r.Context())
		if err != nil {
			answer(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		var b bytes.Buffer
		kind := "application/json"
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			kind = "text/html; charset=utf-8"
			h.Set("Content-Security-Policy", policy)
			err = statusTemplate.Execute(&b, st)
		} else {
			e := json.NewEncoder(&b)
			e.SetIndent("", "  ")
			err = e.Encode(st)
		}
		if err != nil {
			log.Error("status", zap.Error(err))
			answer(w, http.StatusInternalServerError, "the status cannot be shown")
			return
		}
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(b.Bytes()) // the client has gone
	}
}
