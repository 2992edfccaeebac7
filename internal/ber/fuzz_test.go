package ber

import (
	"bytes"
	"testing"
)

var seeds = []string{
	"",
	"30 0c 02 01 01 60 07 02 01 03 04 00 80 00",
	"30 84 00 00 00 05 02 01 02 42 00",
	"30 80 04 00 00 00",
	"30 88 7f ff ff ff ff ff ff ff",
	"04 82 00 02 68 69 0a 01 00",
	"1f 81 00 00",
	"02 09 00 00 00 00 00 00 00 00 01",
}

// Reading ends, refers only to the input, and agrees with Frame and with what
// the writer makes of the same elements.
func FuzzReader(f *testing.F) {
	for _, s := range seeds {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, raws, rest := NewReader(b), NewReader(b), b
		for !r.Empty() {
			n, frameErr := Frame(rest, len(rest))
			tag, content, err := r.Next()
			if (err == nil) != (frameErr == nil && n > 0) {
				t.Fatalf("Next: %v, but Frame: %d, %v", err, n, frameErr)
			}
			raw, rawErr := raws.Raw()
			if (err == nil) != (rawErr == nil) {
				t.Fatalf("Next: %v, but Raw: %v", err, rawErr)
			}
			if err != nil {
				return
			}
			if len(raw) != n || !bytes.Equal(raw, rest[:n]) || !bytes.HasSuffix(raw, content) || raw[0] != tag {
				t.Fatalf("element %x of %x: tag %#02x, content %x", raw, rest, tag, content)
			}
			minimal := AppendTLV(nil, tag, content)
			if len(minimal) != Size(len(content)) || len(minimal) > len(raw) {
				t.Fatalf("%x written as %x", raw, minimal)
			}
			again := NewReader(minimal)
			if c, err := again.Read(tag); err != nil || !bytes.Equal(c, content) || !again.Empty() {
				t.Fatalf("%x does not read back: %v", minimal, err)
			}
			if v, err := ParseInt(content); err == nil {
				i := AppendInt(nil, tag, v)
				if w, err := ParseInt(i[2:]); w != v || err != nil || len(i)-2 > len(content) {
					t.Fatalf("integer %x written as %x", content, i)
				}
			}
			rest = rest[n:]
		}
		if len(rest) != 0 || r.End() != nil {
			t.Fatalf("%d bytes left", len(rest))
		}
	})
}

// Frame needs the header only, never changes its mind as more bytes come, and
// keeps to the limit.
func FuzzFrame(f *testing.F) {
	for _, s := range seeds {
		f.Add(unhex(f, s), uint16(64))
	}
	f.Fuzz(func(t *testing.T, b []byte, limit uint16) {
		want, wantErr := Frame(b, int(limit))
		if want < 0 || want > int(limit) || wantErr != nil && want != 0 || want == 1 {
			t.Fatalf("%d, %v", want, wantErr)
		}
		for i := range min(len(b), 16) {
			n, err := Frame(b[:i], int(limit))
			if n == 0 && err == nil {
				continue
			}
			if n != want || err != wantErr {
				t.Fatalf("after %d bytes %d, %v; after all %d, %v", i, n, err, want, wantErr)
			}
			return
		}
	})
}
