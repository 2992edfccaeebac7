package ber

// AppendHeader appends tag and minimal definite length.
func AppendHeader(dst []byte, tag byte, length int) []byte {
	switch {
	case length < 0x80:
		return append(dst, tag, byte(length))
	case length < 1<<8:
		return append(dst, tag, 0x81, byte(length))
	case length < 1<<16:
		return append(dst, tag, 0x82, byte(length>>8), byte(length))
	case length < 1<<24:
		return append(dst, tag, 0x83, byte(length>>16), byte(length>>8), byte(length))
	default:
		return append(dst, tag, 0x84, byte(length>>24), byte(length>>16), byte(length>>8), byte(length))
	}
}

// Size returns the size of an element, header included, whose content has
// the given length.
func Size(length int) int {
	switch {
	case length < 0x80:
		return 2 + length
	case length < 1<<8:
		return 3 + length
	case length < 1<<16:
		return 4 + length
	case length < 1<<24:
		return 5 + length
	default:
		return 6 + length
	}
}

// AppendTLV appends one element.
func AppendTLV(dst []byte, tag byte, content []byte) []byte {
	return append(AppendHeader(dst, tag, len(content)), content...)
}

// AppendString appends one element.
func AppendString(dst []byte, tag byte, content string) []byte {
	return append(AppendHeader(dst, tag, len(content)), content...)
}

// AppendInt appends an INTEGER or ENUMERATED (or one implicitly tagged).
func AppendInt(dst []byte, tag byte, v int64) []byte {
	n := IntSize(v)
	dst = append(dst, tag, byte(n))
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

// IntSize returns how many content octets AppendInt uses for v.
func IntSize(v int64) int {
	n := 1
	for v > 0x7f || v < -0x80 {
		n++
		v >>= 8
	}
	return n
}

// AppendBool appends a BOOLEAN (or one implicitly tagged).
func AppendBool(dst []byte, tag byte, v bool) []byte {
	if v {
		return append(dst, tag, 1, 0xff)
	}
	return append(dst, tag, 1, 0)
}

// Begin starts a constructed element whose length is not known yet; End
// closes it. The pairs nest.
func Begin(dst []byte, tag byte) (_ []byte, mark int) {
	return append(dst, tag, 0), len(dst) + 1
}

// End writes the length of the element that Begin started at mark.
func End(dst []byte, mark int) []byte {
	length := len(dst) - mark - 1
	if length < 0x80 {
		dst[mark] = byte(length)
		return dst
	}
	var scratch [6]byte
	header := AppendHeader(scratch[:0], dst[mark-1], length)
	extra := len(header) - 2
	dst = append(dst, scratch[:extra]...)
	copy(dst[mark+1+extra:], dst[mark+1:mark+1+length])
	copy(dst[mark-1:], header)
	return dst
}
