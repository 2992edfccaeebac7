package bind_test

import (
	"bytes"
	"testing"
)

// damage flips a bit of the one value in the store.
func (h *house) damage() {
	h.Helper()
	flipped := 0
	keys := map[string]uint64{}
	err := h.store.Each(h.Context(), func(key string, _ []byte, epoch uint64) error {
		keys[key] = epoch
		return nil
	})
	for key, epoch := range keys {
		flipped++
		if err == nil {
			err = h.store.Update(h.Context(), key, epoch, func(old []byte) ([]byte, error) {
				value := bytes.Clone(old)
				value[len(value)/2] ^= 1
				return value, nil
			})
		}
	}
	if err != nil || flipped != 1 {
		h.Fatalf("flipped a bit of %d values, %v", flipped, err)
	}
}

// TestDamagedValue: one bit of the store is wrong. That is trouble of ours, so
// who was right before is not told to be wrong, and the next full login mends
// it.
func TestDamagedValue(t *testing.T) {
	h := newHouse(t, nil)
	h.want("login", h.login("alice;111111", "secret"), byCode)
	h.want("from memory", h.login("alice;111111", "secret"), byProof)
	h.close()
	h.damage()
	h.open()
	const later = "unknown unavailable 52"
	h.want("without the factor", h.plain(nextcloud, "alice", "secret"), later)
	h.want("with the code that was remembered", h.login("alice;111111", "secret"), later)
	h.want("wrong password", h.plain(nextcloud, "alice", "wrong"), "denied wrong_password 49")
	h.want("another user", h.login("bob", "secret"), byFlow)
	h.want("with a new code", h.login("alice;222222", "secret"), byCode)
	h.want("mended", h.login("alice;222222", "secret"), byProof)
	h.want("code that is not remembered", h.login("alice;999999", "secret"), "denied wrong_code 49")
	h.restart()
	h.want("after a restart", h.login("alice;222222", "secret"), byProof)
}
