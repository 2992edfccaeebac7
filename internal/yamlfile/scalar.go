package yamlfile

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// SetText stores a scalar, written as in a file but without quotes, in the
// value that ptr points to. It serves settings that come from elsewhere, such
// as the environment. The error says what is allowed and does not hold the
// text, unless an encoding.TextUnmarshaler puts it there.
func SetText(ptr any, text string) error {
	if u, ok := ptr.(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	v := reflect.ValueOf(ptr)
	if v.Kind() != reflect.Pointer || v.IsNil() || !isScalar(v.Elem()) {
		return fmt.Errorf("yamlfile: the Go type %T cannot be set from text", ptr)
	}
	v = v.Elem()
	bad := errors.New(wanted(v))
	if v.Type() == durationType {
		d, err := time.ParseDuration(text)
		if err != nil {
			return bad
		}
		v.SetInt(int64(d))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch text {
		case "true", "True", "TRUE":
			v.SetBool(true)
		case "false", "False", "FALSE":
			v.SetBool(false)
		default:
			return bad
		}
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return bad
		}
		v.SetFloat(f)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(text, 0, v.Type().Bits())
		if err != nil {
			return bad
		}
		v.SetUint(u)
	default:
		i, err := strconv.ParseInt(text, 0, v.Type().Bits())
		if err != nil {
			return bad
		}
		v.SetInt(i)
	}
	return nil
}

// isScalar reports that v, which is addressable, is set from one text.
func isScalar(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer {
		return false // its element decides
	}
	if reflect.PointerTo(v.Type()).Implements(textType) {
		return true
	}
	switch v.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// wanted says what v takes.
func wanted(v reflect.Value) string {
	switch {
	case reflect.PointerTo(v.Type()).Implements(textType):
		return "must be a string"
	case v.Type() == durationType:
		return "must be a duration such as 15s, 10m or 1h30m"
	}
	bits := v.Type().Bits
	switch v.Kind() {
	case reflect.Bool:
		return "must be true or false"
	case reflect.String:
		return "must be a string"
	case reflect.Float32, reflect.Float64:
		return "must be a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("must be a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-bits()))
	}
	if bits() == 64 {
		return "must be a whole number of at most 64 bits"
	}
	limit := int64(math.MaxInt64) >> (64 - bits())
	return fmt.Sprintf("must be a whole number from %d to %d", -limit-1, limit)
}

// takes reports whether a scalar of the tag may stand where v is. Texts of
// their own grammar, such as sizes and durations, may look like numbers.
func takes(v reflect.Value, tag string) bool {
	if reflect.PointerTo(v.Type()).Implements(textType) || v.Type() == durationType {
		return tag == "!!str" || tag == "!!int" || tag == "!!float" || tag == "!!timestamp" || tag == "!!bool"
	}
	switch v.Kind() {
	case reflect.Bool:
		return tag == "!!bool"
	case reflect.String:
		return tag == "!!str"
	case reflect.Float32, reflect.Float64:
		return tag == "!!float" || tag == "!!int"
	}
	return tag == "!!int"
}
