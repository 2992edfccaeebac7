package verified

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ldapd/internal/password"
	"ldapd/internal/secret"
	"ldapd/internal/verified/keyring"
)

// Bounds of what is kept of a user. They hold a value far below what a store
// takes, if no cookie is larger than any that was ever seen.
const (
	maxCredentials = 8
	maxCodes       = 16      // proofs of a credential with a code: each can be guessed
	maxOthers      = 32      // proofs of a credential without, as windows
	maxPlaces      = 16      // of a credential
	maxValue       = 1 << 20 // bytes
)

var (
	errDamaged = keyring.ErrDamaged
	errSize    = fmt.Errorf("larger than %d bytes", maxValue)
)

// codec makes the values of a store from records, and back. A value is sealed
// for its name in the store.
type codec struct{ keyring.Ring }

// storeName returns the key of a user in the store.
func storeName(k User) (string, error) {
	if k.UUID == "" || strings.Contains(k.UUID, " ") {
		return "", errors.New("verified bind: no user id")
	}
	return sealedFor(k), nil
}

func parseName(name string) (User, bool) {
	user, base, ok := strings.Cut(name, " ")
	return User{Base: base, UUID: user}, ok
}

// sealedFor returns what the value of a user is sealed for: its key in the store.
func sealedFor(of User) string { return of.UUID + " " + of.Base }

// encode returns the value of a record that is from canon, nil for nil.
func (c codec) encode(of User, r *Record) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	return c.Seal(sealedFor(of), marshal(r))
}

// decode returns the record of a value, nil for none.
func (c codec) decode(of User, value []byte) (*Record, error) {
	switch {
	case value == nil:
		return nil, nil
	case len(value) > maxValue:
		return nil, errSize
	}
	plain, err := c.Open(sealedFor(of), value)
	if err != nil {
		return nil, err
	}
	return c.unmarshal(plain)
}

// In JSON a record has short names. Times are Unix microseconds, 0 for none.
type recordJSON struct {
	Username    string           `json:"n,omitempty"`
	Credentials []credentialJSON `json:"c"`
}

type credentialJSON struct {
	ID            string       `json:"i"`
	Hash          hashJSON     `json:"h"`
	Search        bool         `json:"s,omitempty"`
	Factored      bool         `json:"f,omitempty"`
	Doubt         bool         `json:"d,omitempty"`
	PasswordStamp string       `json:"ps,omitempty"`
	FactorStamp   string       `json:"fs,omitempty"`
	First         int64        `json:"t0,omitempty"`
	Proved        int64        `json:"tp,omitempty"`
	Told          int64        `json:"tt,omitempty"`
	Session       *sessionJSON `json:"se,omitempty"`
	Proofs        []proofJSON  `json:"p,omitempty"`
	Places        []string     `json:"pl,omitempty"`
}

type hashJSON struct {
	Key     string `json:"k"`
	Memory  uint32 `json:"m"`
	Time    uint32 `json:"t"`
	Threads uint8  `json:"p"`
	Sum     []byte `json:"s"`
}

type sessionJSON struct {
	Hash   string `json:"h,omitempty"`
	Begin  int64  `json:"b,omitempty"`
	End    int64  `json:"e,omitempty"`
	State  []byte `json:"s,omitempty"`
	Asked  int64  `json:"a,omitempty"`
	Client string `json:"c,omitempty"`
}

type proofJSON struct {
	ID      string `json:"i"`
	Way     Way    `json:"w"`
	CodeKey string `json:"ck,omitempty"`
	CodeSum []byte `json:"cs,omitempty"`
	Client  string `json:"c,omitempty"`
	Factor  string `json:"f,omitempty"`
	At      int64  `json:"t,omitempty"`
	Until   int64  `json:"u,omitempty"`
	Cookie  []byte `json:"m,omitempty"`
	Asked   int64  `json:"a,omitempty"`
	Home    string `json:"o,omitempty"`
	Used    int64  `json:"l,omitempty"`
}

// marshal returns a text that is the same for records that are.
func marshal(r *Record) []byte {
	out := recordJSON{Username: r.Username, Credentials: make([]credentialJSON, len(r.Credentials))}
	for i := range r.Credentials {
		c := &r.Credentials[i]
		v := c.verifier
		j := credentialJSON{
			ID: c.ID, Hash: hashJSON{v.scheme.Key, v.scheme.Cost.Memory, v.scheme.Cost.Time, v.scheme.Cost.Threads, v.slow[:]},
			Search: c.Search, Factored: c.Factored, Doubt: c.Doubt,
			PasswordStamp: c.PasswordStamp, FactorStamp: c.FactorStamp,
			First: micros(c.First), Proved: micros(c.Proved), Told: micros(c.Told), Places: c.Places,
		}
		if s := c.Session; s != nil {
			j.Session = &sessionJSON{s.Hash, micros(s.Begin), micros(s.End), []byte(s.State), micros(s.Asked), s.Client}
		}
		for p := range slices.Values(c.Proofs) {
			pj := proofJSON{
				ID: p.ID, Way: p.Way, Client: p.Client, Factor: p.Factor,
				At: micros(p.At), Until: micros(p.Until), Cookie: []byte(p.Cookie), Asked: micros(p.Asked),
				Home: p.Home, Used: micros(p.Used),
			}
			if p.Code.Key != "" {
				pj.CodeKey, pj.CodeSum = p.Code.Key, p.Code.Sum[:]
			}
			j.Proofs = append(j.Proofs, pj)
		}
		out.Credentials[i] = j
	}
	text, _ := json.Marshal(out) // texts, bytes and numbers: never fails
	return text
}

// unmarshal drops credentials whose key is no longer here: nothing could
// recognise their password.
func (c codec) unmarshal(plain []byte) (*Record, error) {
	var in recordJSON
	d := json.NewDecoder(bytes.NewReader(plain))
	if err := d.Decode(&in); err != nil {
		return nil, errDamaged // the error may quote
	}
	r := &Record{Username: in.Username}
	ids := make(map[string]bool)
	for i := range in.Credentials {
		j := &in.Credentials[i]
		v := &verifier{scheme: keyring.Scheme{Key: j.Hash.Key, Cost: password.Cost{Memory: j.Hash.Memory, Time: j.Hash.Time, Threads: j.Hash.Threads}}}
		if j.ID == "" || ids[j.ID] || !v.scheme.Cost.Valid() || len(j.Hash.Sum) != len(v.slow) {
			return nil, errDamaged
		}
		ids[j.ID] = true
		if !c.Has(v.scheme.Key) {
			continue
		}
		copy(v.slow[:], j.Hash.Sum)
		cred := Credential{
			ID: j.ID, Search: j.Search, Factored: j.Factored, Doubt: j.Doubt,
			PasswordStamp: j.PasswordStamp, FactorStamp: j.FactorStamp,
			First: moment(j.First), Proved: moment(j.Proved), Told: moment(j.Told),
			Places: j.Places, verifier: v,
		}
		if s := j.Session; s != nil {
			cred.Session = &Session{s.Hash, moment(s.Begin), moment(s.End), secret.String(s.State), moment(s.Asked), s.Client}
		}
		for _, pj := range j.Proofs {
			p := Proof{
				ID: pj.ID, Way: pj.Way, Client: pj.Client, Factor: pj.Factor,
				At: moment(pj.At), Until: moment(pj.Until), Cookie: secret.String(pj.Cookie), Asked: moment(pj.Asked),
				Home: pj.Home, Used: moment(pj.Used),
			}
			if pj.CodeKey != "" {
				if len(pj.CodeSum) != len(p.Code.Sum) {
					return nil, errDamaged
				}
				p.Code.Key = pj.CodeKey
				copy(p.Code.Sum[:], pj.CodeSum)
			}
			cred.Proofs = append(cred.Proofs, p)
		}
		r.Credentials = append(r.Credentials, cred)
	}
	r.trim()
	if len(r.Credentials) == 0 {
		return nil, nil
	}
	return r, nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if us := t.UnixMicro(); us != 0 {
		return us
	}
	return 1
}

// moment returns a time without a zone, as the process may be moved to
// another.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
