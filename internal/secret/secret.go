// Package secret keeps credentials out of logs.
package secret

// String is a credential; it prints as ***.
type String string

// String keeps the secret out of logs.
func (String) String() string { return "***" }

// GoString keeps the secret out of logs.
func (String) GoString() string { return "***" }

// MarshalText keeps the secret out of JSON.
func (String) MarshalText() ([]byte, error) { return []byte("***"), nil }
