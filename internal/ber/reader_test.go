package ber

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
)

// unhex decodes hexadecimal with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReaderNext(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		tag      byte
		content  string
		err      error
	}{
		{"short", "04 02 68 69", OctetString, "68 69", nil},
		{"empty content", "04 00", OctetString, "", nil},
		{"longest short form", "04 7f" + strings.Repeat("61", 127), OctetString, strings.Repeat("61", 127), nil},
		{"81", "04 81 02 68 69", OctetString, "68 69", nil},
		{"82 not minimal", "04 82 00 02 68 69", OctetString, "68 69", nil},
		{"84 as Active Directory sends", "30 84 00 00 00 02 04 00", Sequence, "04 00", nil},
		{"88", "30 88 00 00 00 00 00 00 00 02 04 00", Sequence, "04 00", nil},
		{"application tag", "60 00", 0x60, "", nil},
		{"bytes behind stay", "0a 01 00 ff", Enumerated, "00", nil},

		{"89 is too many octets", "04 89 00 00 00 00 00 00 00 00 01 61", 0, "", ErrLength},
		{"indefinite", "30 80 04 00 00 00", 0, "", ErrLength},
		{"reserved ff", "30 ff", 0, "", ErrLength},
		{"multi-byte tag", "1f 81 00 00", 0, "", ErrTag},
		{"multi-byte application tag", "7f 20 00", 0, "", ErrTag},
		{"nothing", "", 0, "", ErrTruncated},
		{"tag only", "04", 0, "", ErrTruncated},
		{"length cut", "04 82 01", 0, "", ErrTruncated},
		{"content cut", "04 02 68", 0, "", ErrTruncated},
		{"claims 2 GiB less one", "04 84 7f ff ff ff 68", 0, "", ErrTruncated},
		{"claims 2 GiB", "04 84 80 00 00 00 68", 0, "", ErrLength},
		{"claims 2 GiB in eight octets", "04 88 00 00 00 00 80 00 00 00 68", 0, "", ErrLength},
		{"claims what an int64 does not hold", "04 88 ff ff ff ff ff ff ff ff 68", 0, "", ErrLength},
		{"claims what wraps to 2", "04 88 01 00 00 00 00 00 00 02 68 69", 0, "", ErrLength},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := unhex(t, tt.in)
			r := NewReader(in)
			tag, content, err := r.Next()
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tag != tt.tag || !bytes.Equal(content, unhex(t, tt.content)) {
				t.Errorf("got %#02x %x, want %#02x %s", tag, content, tt.tag, tt.content)
			}
			if err == nil && cap(content) != len(content) {
				t.Error("the content can be appended to over what follows it")
			}
			if err != nil && (len(in) == 0) != r.Empty() {
				t.Error("a failed read moved the reader")
			}
		})
	}
}

func TestReaderRead(t *testing.T) {
	r := NewReader(unhex(t, "02 01 05 01 01 ff 01 01 00 01 01 01 0a 01 02 04 01 61 30 03 04 01 62"))
	if v, err := r.Int(Integer); v != 5 || err != nil {
		t.Errorf("Int: %d, %v", v, err)
	}
	for i, want := range []bool{true, false, true} {
		if v, err := r.Bool(Boolean); v != want || err != nil {
			t.Errorf("Bool %d: %v, %v", i, v, err)
		}
	}
	if r.Peek() != Enumerated {
		t.Errorf("Peek: %#02x", r.Peek())
	}
	if v, err := r.Int(Enumerated); v != 2 || err != nil {
		t.Errorf("Int of ENUMERATED: %d, %v", v, err)
	}
	if _, err := r.Read(Sequence); !errors.Is(err, errUnexpected) {
		t.Errorf("Read with the wrong tag: %v", err)
	}
	if err := r.End(); err != ErrTrailing {
		t.Errorf("End with two elements left: %v", err)
	}
	if v, err := r.Read(OctetString); string(v) != "a" || err != nil {
		t.Errorf("Read after a wrong tag: %q, %v", v, err)
	}
	if v, err := r.Raw(); !bytes.Equal(v, unhex(t, "30 03 04 01 62")) || err != nil {
		t.Errorf("Raw: %x, %v", v, err)
	}
	if !r.Empty() || r.Peek() != 0 || r.End() != nil {
		t.Error("not empty at the end")
	}
	if _, err := r.Read(OctetString); err != ErrTruncated {
		t.Errorf("Read at the end: %v", err)
	}
	if _, err := r.Raw(); err != ErrTruncated {
		t.Errorf("Raw at the end: %v", err)
	}
	if _, err := r.Int(Integer); err != ErrTruncated {
		t.Errorf("Int at the end: %v", err)
	}
	if _, err := r.Bool(Boolean); err != ErrTruncated {
		t.Errorf("Bool at the end: %v", err)
	}
	for _, bad := range []string{"01 00", "01 02 ff ff"} {
		r := NewReader(unhex(t, bad))
		if _, err := r.Bool(Boolean); err != ErrBoolean {
			t.Errorf("Bool of %s: %v", bad, err)
		}
	}
	var zero Reader
	if !zero.Empty() {
		t.Error("the zero Reader is not empty")
	}
}

func TestParseInt(t *testing.T) {
	for in, want := range map[string]int64{
		"00":                      0,
		"7f":                      127,
		"80":                      -128,
		"ff":                      -1,
		"00 80":                   128,
		"01 f4":                   500,
		"00 00 00 05":             5, // not minimal
		"ff ff ff fe":             -2,
		"7f ff ff ff":             math.MaxInt32,
		"7f ff ff ff ff ff ff ff": math.MaxInt64,
		"80 00 00 00 00 00 00 00": math.MinInt64,
	} {
		if v, err := ParseInt(unhex(t, in)); v != want || err != nil {
			t.Errorf("%s: %d, %v, want %d", in, v, err, want)
		}
	}
	for _, in := range []string{"", "00 00 00 00 00 00 00 00 01"} {
		if v, err := ParseInt(unhex(t, in)); err != ErrInteger {
			t.Errorf("%q: %d, %v, want ErrInteger", in, v, err)
		}
	}
}

func TestFrame(t *testing.T) {
	const max = 64 << 10
	for _, tt := range []struct {
		name, in string
		n        int
		err      error
	}{
		{"nothing yet", "", 0, nil},
		{"tag", "30", 0, nil},
		{"half a length", "30 84 00 00", 0, nil},
		{"header", "30 0c", 14, nil},
		{"header of four octets", "30 84 00 00 00 0c", 18, nil},
		{"whole with more behind", "30 01 00 30 05", 3, nil},
		{"empty", "30 00", 2, nil},
		{"largest", "30 82 ff fc", max, nil},
		{"largest, eight octets", "30 88 00 00 00 00 00 00 ff f6", max, nil},
		{"one more", "30 82 ff fd", 0, ErrLength},
		{"one more, eight octets", "30 88 00 00 00 00 00 00 ff f7", 0, ErrLength},
		{"2 GiB less one", "30 84 7f ff ff ff", 0, ErrLength},
		{"4 GiB less one", "30 84 ff ff ff ff", 0, ErrLength},
		{"all bits", "30 88 ff ff ff ff ff ff ff ff", 0, ErrLength},
		{"most positive int64", "30 88 7f ff ff ff ff ff ff ff", 0, ErrLength},
		{"indefinite", "30 80", 0, ErrLength},
		{"nine octets, refused before they come", "30 89", 0, ErrLength},
		{"multi-byte tag, refused at once", "3f", 0, ErrTag},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := unhex(t, tt.in)
			n, err := Frame(in, max)
			if n != tt.n || !errors.Is(err, tt.err) {
				t.Fatalf("%d, %v, want %d, %v", n, err, tt.n, tt.err)
			}
			if a := testing.AllocsPerRun(10, func() { n, err = Frame(in, max) }); a != 0 {
				t.Errorf("%v allocations", a)
			}
		})
	}
	if _, err := Frame([]byte{0x30, 0x00}, 0); !errors.Is(err, ErrLength) {
		t.Errorf("limit 0: %v", err)
	}
	if n, err := Frame([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, math.MaxInt32); err == nil {
		t.Errorf("content and header beyond the limit together: %d", n)
	}
}

func TestReaderDoesNotAllocate(t *testing.T) {
	in := unhex(t, "30 84 00 00 00 08 02 01 05 01 01 ff 04 00")
	a := testing.AllocsPerRun(100, func() {
		outer := NewReader(in)
		c, _ := outer.Read(Sequence)
		r := NewReader(c)
		_, _ = r.Int(Integer)
		_, _ = r.Bool(Boolean)
		_, _ = r.Raw()
		if !r.Empty() || outer.End() != nil {
			t.Error("not read whole")
		}
	})
	if a != 0 {
		t.Errorf("%v allocations", a)
	}
}
