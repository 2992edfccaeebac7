package unlock

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

//go:embed page.html
var pageText string

//go:embed style.css
var style string

var (
	pageTemplate = template.Must(template.New("page").Parse(pageText))
	styleHash    = func() string {
		sum := sha256.Sum256([]byte(style))
		return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
	}()
)

// page is what the template shows. It never holds a password or code.
type page struct {
	Style   template.CSS
	Problem string // of the last attempt; empty: none
	User    string // as it was typed
	Clients []choice
	Opened  *opened
	Ended   bool
	Count   int // of windows that were ended
}

// choice is a client in the form.
type choice struct {
	Name   string
	Chosen bool
}

// opened is a window, and how long it is open, in words.
type opened struct {
	Window
	In string
}

// Machine returns the end for machines.
func (o *opened) Machine() string { return o.Until.Format(time.RFC3339) }

// Human returns the end for people. Where they are, the server does not know.
func (o *opened) Human() string { return o.Until.Format("Monday, 2 January 2006, 15:04 MST") }

// write answers with a page.
func (s *Server) write(w http.ResponseWriter, status int, p page) {
	p.Style = template.CSS(style)
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		s.log.Error("page: " + err.Error())
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser has gone
}

// choices returns the clients of the form. The only one is chosen.
func (s *Server) choices(chosen map[string]bool) []choice {
	c := make([]choice, len(s.clients))
	for i, name := range s.clients {
		c[i] = choice{Name: name, Chosen: chosen[name] || len(s.clients) == 1}
	}
	return c
}

// spell says how long something lasts, in its two largest units at most.
func spell(d time.Duration) string {
	d = d.Round(time.Minute)
	days, hours, minutes := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60
	switch {
	case days >= 2 || days == 1 && hours == 0:
		return plural(days, "day")
	case days == 1:
		return plural(days, "day") + " and " + plural(hours, "hour")
	case hours >= 1 && minutes == 0 || hours >= 6:
		return plural(hours, "hour")
	case hours >= 1:
		return plural(hours, "hour") + " and " + plural(minutes, "minute")
	default:
		return plural(max(minutes, 1), "minute")
	}
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}
