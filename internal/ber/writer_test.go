package ber

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	asn1 "github.com/go-asn1-ber/asn1-ber"
)

func TestAppendHeader(t *testing.T) {
	for _, tt := range []struct {
		length int
		want   string
	}{
		{0, "04 00"},
		{1, "04 01"},
		{127, "04 7f"},
		{128, "04 81 80"},
		{255, "04 81 ff"},
		{256, "04 82 01 00"},
		{65535, "04 82 ff ff"},
		{65536, "04 83 01 00 00"},
		{1<<24 - 1, "04 83 ff ff ff"},
		{1 << 24, "04 84 01 00 00 00"},
		{math.MaxInt32, "04 84 7f ff ff ff"},
	} {
		got := AppendHeader([]byte("x"), OctetString, tt.length)
		if want := append([]byte("x"), unhex(t, tt.want)...); !bytes.Equal(got, want) {
			t.Errorf("%d: %x, want %s", tt.length, got, tt.want)
		}
		if got, want := Size(tt.length), len(got)-1+tt.length; got != want {
			t.Errorf("Size(%d) = %d, want %d", tt.length, got, want)
		}
	}
}

var lengths = []int{0, 1, 2, 126, 127, 128, 129, 254, 255, 256, 257, 65534, 65535, 65536, 65537, 1<<24 - 1, 1 << 24}

// Begin and End give what AppendTLV gives, whatever comes before and wherever
// the slice has to grow.
func TestBeginEnd(t *testing.T) {
	for _, n := range lengths {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			content := make([]byte, n)
			for i := range content {
				content[i] = byte(i * 7)
			}
			want := AppendTLV([]byte("before"), 0x63, content)
			if s := AppendString([]byte("before"), 0x63, string(content)); !bytes.Equal(s, want) {
				t.Error("AppendString differs from AppendTLV")
			}
			for _, room := range []int{0, 2 + n, 64 + n} {
				dst := append(make([]byte, 0, 6+room), "before"...)
				dst, mark := Begin(dst, 0x63)
				dst = append(dst, content...)
				dst = End(dst, mark)
				if !bytes.Equal(dst, want) {
					t.Fatalf("room %d: differs from AppendTLV", room)
				}
			}
			r := NewReader(want[len("before"):])
			if got, err := r.Read(0x63); err != nil || !bytes.Equal(got, content) || !r.Empty() {
				t.Errorf("does not read back: %v", err)
			}
		})
	}
}

// Elements nest, each of a length that makes the one around it cross the next
// size of header.
func TestBeginEndNested(t *testing.T) {
	for _, n := range lengths[:len(lengths)-2] {
		content := bytes.Repeat([]byte{'x'}, n)
		dst, a := Begin(nil, Sequence)
		dst, b := Begin(dst, Set)
		dst = AppendTLV(dst, OctetString, content)
		dst = End(dst, b)
		dst, c := Begin(dst, 0xa0)
		dst = End(dst, c)
		dst = End(dst, a)

		inner := AppendTLV(nil, Set, AppendTLV(nil, OctetString, content))
		want := AppendTLV(nil, Sequence, AppendTLV(inner, 0xa0, nil))
		if !bytes.Equal(dst, want) {
			t.Errorf("%d: nested elements differ", n)
		}
	}
}

func TestAppendInt(t *testing.T) {
	for v, want := range map[int64]string{
		0:             "02 01 00",
		1:             "02 01 01",
		127:           "02 01 7f",
		128:           "02 02 00 80",
		255:           "02 02 00 ff",
		256:           "02 02 01 00",
		32767:         "02 02 7f ff",
		32768:         "02 03 00 80 00",
		-1:            "02 01 ff",
		-128:          "02 01 80",
		-129:          "02 02 ff 7f",
		math.MaxInt32: "02 04 7f ff ff ff",
		math.MaxInt64: "02 08 7f ff ff ff ff ff ff ff",
		math.MinInt64: "02 08 80 00 00 00 00 00 00 00",
	} {
		got := AppendInt(nil, Integer, v)
		if !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%d: %x, want %s", v, got, want)
		}
		if IntSize(v) != len(got)-2 {
			t.Errorf("IntSize(%d) = %d", v, IntSize(v))
		}
		p, err := asn1.DecodePacketErr(got)
		if err != nil || p.Value != v {
			t.Errorf("asn1-ber reads %d as %v, %v", v, p.Value, err)
		}
		r := NewReader(got)
		if back, err := r.Int(Integer); back != v || err != nil {
			t.Errorf("%d reads back as %d, %v", v, back, err)
		}
	}
}

func TestAppendBool(t *testing.T) {
	if got := AppendBool(AppendBool(nil, Boolean, true), 0x81, false); !bytes.Equal(got, unhex(t, "01 01 ff 81 01 00")) {
		t.Errorf("%x", got)
	}
}

func TestWriterDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 1024)
	content := make([]byte, 300)
	a := testing.AllocsPerRun(100, func() {
		dst, mark := Begin(buf[:0], Sequence)
		dst = AppendInt(dst, Integer, 70000)
		dst = AppendBool(dst, Boolean, true)
		dst = AppendTLV(dst, OctetString, content)
		dst = AppendString(dst, OctetString, "name")
		_ = End(dst, mark)
	})
	if a != 0 {
		t.Errorf("%v allocations", a)
	}
}
