package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, written 65536, 64KiB, 1MiB or 1GiB.
type Size int64

var errSize = errors.New("must be a size such as 65536, 64KiB, 1MiB or 1GiB")

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	t, shift := string(text), 0
	for _, u := range [...]struct {
		suffix string
		shift  int
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}} {
		if rest, ok := strings.CutSuffix(t, u.suffix); ok {
			t, shift = strings.TrimRight(rest, " "), u.shift
			break
		}
	}
	n, err := strconv.ParseUint(t, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return errSize
	}
	*s = Size(n << shift)
	return nil
}

// String writes a size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range [...]struct {
		suffix string
		shift  int
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if s != 0 && s&(1<<u.shift-1) == 0 {
			return strconv.FormatInt(int64(s>>u.shift), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
