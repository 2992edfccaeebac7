package daemon

import (
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"ldapd/internal/config"
)

// Lines of the JSON log wait this long for others, since a write for each
// operation would cost more than the operation.
const (
	flushEvery = time.Second
	flushSize  = 256 << 10
)

// NewLogger returns a logger that writes to w. Call stop at the end, for it
// writes what is still buffered.
func NewLogger(cfg config.Log, w io.Writer) (log *zap.Logger, stop func() error, err error) {
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		return nil, nil, fmt.Errorf("log.level: %w", err)
	}
	f, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	// Sync of a pipe or a terminal is an error, so it is kept away from them.
	out := zapcore.Lock(zapcore.AddSync(struct{ io.Writer }{w}))
	if cfg.Format == "console" || cfg.Format == "auto" && terminal {
		core := zapcore.NewCore(zapcore.NewConsoleEncoder(consoleEncoding(terminal)), out, level)
		return zap.New(core), func() error { return nil }, nil
	}
	buffer := &zapcore.BufferedWriteSyncer{WS: out, Size: flushSize, FlushInterval: flushEvery}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(jsonEncoding()), buffer, level)
	return zap.New(prompt{core}), buffer.Stop, nil
}

func jsonEncoding() zapcore.EncoderConfig {
	return zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "msg", StacktraceKey: "stack",
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
		EncodeName:     zapcore.FullNameEncoder,
	}
}

func consoleEncoding(color bool) zapcore.EncoderConfig {
	c := jsonEncoding()
	c.EncodeTime = zapcore.TimeEncoderOfLayout(time.DateTime)
	c.EncodeDuration = zapcore.StringDurationEncoder
	c.EncodeLevel = zapcore.CapitalLevelEncoder
	if color {
		c.EncodeLevel = zapcore.CapitalColorLevelEncoder
	}
	c.ConsoleSeparator = " "
	return c
}

// prompt is a core whose warnings and errors are not kept in the buffer: the
// process may be about to end.
type prompt struct{ zapcore.Core }

func (p prompt) With(fields []zapcore.Field) zapcore.Core { return prompt{p.Core.With(fields)} }

func (p prompt) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if p.Enabled(e.Level) {
		return ce.AddCore(e, p)
	}
	return ce
}

func (p prompt) Write(e zapcore.Entry, fields []zapcore.Field) error {
	err := p.Core.Write(e, fields)
	if err == nil && e.Level >= zapcore.WarnLevel {
		err = p.Sync()
	}
	return err
}
