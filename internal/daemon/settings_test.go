package daemon

import (
	"reflect"
	"testing"

	"ldapd/internal/config"
)

// Every limit of the server comes from the configuration.
func TestServerLimits(t *testing.T) {
	l := reflect.ValueOf(serverLimits(&config.Default().Limits))
	for i := range l.NumField() {
		if l.Field(i).IsZero() {
			t.Errorf("%s is not configured", l.Type().Field(i).Name)
		}
	}
}
