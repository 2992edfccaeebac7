package schema

import (
	"bytes"
	"time"
)

// timeLayout is the longest prefix of a GeneralizedTime before fraction and
// zone; minutes and seconds may be missing.
const timeLayout = "20060102150405"

// normTime reads a GeneralizedTime (RFC 4517 section 3.3.13) and gives it in
// UTC as YYYYMMDDhhmmss with any fraction of the second behind a '.', without
// the Z, so that bytes order as times do.
func normTime(dst, value []byte) ([]byte, bool) {
	n := 0
	for n < len(value) && isDigit(value[n]) {
		n++
	}
	if n != 10 && n != 12 && n != 14 {
		return dst, false
	}
	at, err := time.Parse(timeLayout[:n], string(value[:n]))
	if err != nil {
		if n != 14 || value[12] != '6' || value[13] != '0' {
			return dst, false
		}
		// A leap second is the one after it.
		if at, err = time.Parse(timeLayout[:12], string(value[:12])); err != nil {
			return dst, false
		}
		at = at.Add(time.Minute)
	}
	unit := map[int]time.Duration{10: time.Hour, 12: time.Minute, 14: time.Second}[n]
	rest := value[n:]
	if len(rest) > 0 && (rest[0] == '.' || rest[0] == ',') {
		rest = rest[1:]
		digits := 0
		for scale := unit / 10; len(rest) > digits && isDigit(rest[digits]); digits++ {
			at = at.Add(time.Duration(rest[digits]-'0') * scale)
			scale /= 10
		}
		if digits == 0 {
			return dst, false
		}
		rest = rest[digits:]
	}
	offset, ok := timeZone(rest)
	if !ok {
		return dst, false
	}
	at = at.Add(-offset)
	if at.Year() < 0 || at.Year() > 9999 {
		return dst, false
	}
	dst = at.AppendFormat(dst, timeLayout)
	if at.Nanosecond() != 0 {
		dst = bytes.TrimRight(at.AppendFormat(dst, ".000000000"), "0")
	}
	return dst, true
}

// timeZone reads "Z" or a difference to UTC.
func timeZone(s []byte) (time.Duration, bool) {
	if len(s) == 1 && s[0] == 'Z' {
		return 0, true
	}
	if len(s) != 3 && len(s) != 5 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	for _, c := range s[1:] {
		if !isDigit(c) {
			return 0, false
		}
	}
	d := time.Duration(int(s[1]-'0')*10+int(s[2]-'0')) * time.Hour
	if len(s) == 5 {
		d += time.Duration(int(s[3]-'0')*10+int(s[4]-'0')) * time.Minute
	}
	if d >= 24*time.Hour {
		return 0, false
	}
	if s[0] == '-' {
		d = -d
	}
	return d, true
}

// AppendTime appends a time as GeneralizedTime to the second, in UTC.
func AppendTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, timeLayout+"Z")
}
