package daemon

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"ldapd/internal/config"
)

func TestLogger(t *testing.T) {
	for _, format := range []string{"auto", "json"} {
		var out buffer
		log, stop, err := NewLogger(config.Log{Level: "info", Format: format}, &out)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("hidden")
		log.With(zap.Int("n", 1)).Warn("at once")
		if got := out.String(); !strings.Contains(got, `"level":"warn"`) || !strings.Contains(got, `"msg":"at once","n":1}`) {
			t.Errorf("%s: a warning is not written at once: %q", format, got)
		}
		log.Info("at the end")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, `"msg":"at the end"}`) || strings.Contains(got, "hidden") {
			t.Errorf("%s: at the end: %q", format, got)
		}
	}
	var out buffer
	log, stop, err := NewLogger(config.Log{Level: "debug", Format: "console"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("shown", zap.String("k", "v"))
	if got := out.String(); !strings.Contains(got, `DEBUG shown {"k": "v"}`) {
		t.Errorf("console: %q", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := NewLogger(config.Log{Level: "loud"}, &out); err == nil {
		t.Error("a bad level: no error")
	}
}
