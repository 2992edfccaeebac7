package authentik

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// maxDetail is how many octets of what authentik says of an error are kept.
const maxDetail = 300

// APIError is an answer with a status from 400.
type APIError struct {
	Status    int
	Detail    string // what authentik says; empty if it is not its own answer
	RequestID string // in authentik's log; may be empty
	Method    string
	Path      string
}

func (e *APIError) Error() string {
	s := fmt.Sprintf("%s %s: status %d", e.Method, e.Path, e.Status)
	if text := http.StatusText(e.Status); text != "" {
		s += " " + text
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.RequestID != "" {
		s += " (request " + e.RequestID + ")"
	}
	return s
}

// TokenRefused reports that authentik does not take the token, or none was
// sent: 403, like missing rights, which are not meant here.
func TokenRefused(err error) bool {
	var e *APIError
	return errors.As(err, &e) && (e.Status == http.StatusUnauthorized ||
		e.Status == http.StatusForbidden && e.Detail != "" && !e.lacksRight())
}

// Forbidden reports that the token is good but lacks a right.
func Forbidden(err error) bool {
	var e *APIError
	return errors.As(err, &e) && e.Status == http.StatusForbidden && e.lacksRight()
}

// NotFound reports that there is no such object, or it may not be seen.
func NotFound(err error) bool {
	var e *APIError
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

func (e *APIError) lacksRight() bool {
	return strings.HasPrefix(e.Detail, "You do not have permission")
}

// detail takes the message out of an error's body: {"detail": "..."}, or
// lists of messages by field. Else it is no answer of authentik's, but of a
// proxy, and tells nothing.
func detail(body []byte) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return ""
	}
	var s string
	if json.Unmarshal(fields["detail"], &s) != nil || s == "" {
		var parts []string
		for name, raw := range fields {
			var messages []string
			if json.Unmarshal(raw, &messages) == nil && len(messages) > 0 {
				parts = append(parts, name+": "+strings.Join(messages, " "))
			}
		}
		slices.Sort(parts)
		s = strings.Join(parts, "; ")
	}
	return oneLine(s)
}

// oneLine makes a text of authentik's fit for a log.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxDetail)], "")
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
}
