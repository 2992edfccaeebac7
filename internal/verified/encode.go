package verified

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"ldapd/internal/password"
	"ldapd/internal/secret"
)

// Bounds of what is kept of a user. They hold a value far below what a store
// takes, if no cookie is larger than any that was ever seen.
const (
	maxCredentials = 8
	maxProofs      = 128     // of a credential; a login with a code makes one
	maxValue       = 1 << 20 // bytes
	sealSize       = 64      // bytes that a value is larger than its record, and more
)

// A value of the store is a version, the id of a key, and the record, sealed
// with the key (AES-256-GCM) for its user: it can be neither read nor changed
// nor given to another user without the key. Whoever may write to the store
// can still bring an old value back.
const (
	version = 1
	idSize  = 6 // bytes of the id of a key
)

var (
	errVersion = errors.New("of an unknown version")
	errNoSuch  = errors.New("written with a key that is not here")
	errForged  = errors.New("not written with its key, or not for this user")
	errDamaged = errors.New("damaged")
	errSize    = fmt.Errorf("larger than %d bytes", maxValue)
)

// storeName returns the key of a user in the store.
func storeName(k User) (string, error) {
	if k.UUID == "" || strings.Contains(k.UUID, " ") {
		return "", errors.New("verified bind: no user id")
	}
	return k.UUID + " " + k.Base, nil
}

func parseName(name string) (User, bool) {
	user, base, ok := strings.Cut(name, " ")
	return User{Base: base, UUID: user}, ok && user != ""
}

// encode returns the value of a record, nil for nil.
func (k Keys) encode(of User, r *Record) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	plain, err := marshal(r)
	if err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(k.current.id)
	if err != nil {
		return nil, fmt.Errorf("id of the key: %w", err)
	}
	value := k.current.seal.Seal(append([]byte{version}, id...), nil, plain, sealedFor(of))
	if len(value) > maxValue {
		return nil, errSize
	}
	return value, nil
}

// decode returns the record of a value, nil for none.
func (k Keys) decode(of User, value []byte) (*Record, error) {
	switch {
	case value == nil:
		return nil, nil
	case len(value) > maxValue:
		return nil, errSize
	case len(value) < 1+idSize:
		return nil, errDamaged
	case value[0] != version:
		return nil, errVersion
	}
	id := hex.EncodeToString(value[1 : 1+idSize])
	by := k.all[id]
	if by == nil {
		return nil, errNoSuch
	}
	plain, err := by.seal.Open(nil, nil, value[1+idSize:], sealedFor(of))
	if err != nil {
		return nil, errForged
	}
	return k.unmarshal(plain)
}

func sealedFor(of User) []byte { return []byte(of.UUID + " " + of.Base) }

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
}

// marshal returns a text that is the same for records that are.
func marshal(r *Record) ([]byte, error) {
	out := recordJSON{Username: r.Username, Credentials: make([]credentialJSON, len(r.Credentials))}
	for i := range r.Credentials {
		c := &r.Credentials[i]
		v := c.verifier
		j := credentialJSON{
			ID: c.ID, Hash: hashJSON{v.key, v.cost.Memory, v.cost.Time, v.cost.Threads, v.slow[:]},
			Search: c.Search, Factored: c.Factored, Doubt: c.Doubt,
			PasswordStamp: c.PasswordStamp, FactorStamp: c.FactorStamp,
			First: micros(c.First), Proved: micros(c.Proved), Told: micros(c.Told),
		}
		if s := c.Session; s != nil {
			j.Session = &sessionJSON{s.Hash, micros(s.Begin), micros(s.End), []byte(s.State), micros(s.Asked), s.Client}
		}
		for p := range slices.Values(c.Proofs) {
			pj := proofJSON{
				ID: p.ID, Way: p.Way, Client: p.Client, Factor: p.Factor,
				At: micros(p.At), Until: micros(p.Until), Cookie: []byte(p.Cookie), Asked: micros(p.Asked),
			}
			if p.Code.Key != "" {
				pj.CodeKey, pj.CodeSum = p.Code.Key, p.Code.Sum[:]
			}
			j.Proofs = append(j.Proofs, pj)
		}
		out.Credentials[i] = j
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode a verified bind: %w", err)
	}
	return text, nil
}

// unmarshal drops credentials whose key is no longer here: nothing could
// recognise their password.
func (k Keys) unmarshal(plain []byte) (*Record, error) {
	var in recordJSON
	d := json.NewDecoder(bytes.NewReader(plain))
	if err := d.Decode(&in); err != nil {
		return nil, errDamaged // the error may quote
	}
	r := &Record{Username: in.Username}
	ids := make(map[string]bool)
	for i := range in.Credentials {
		j := &in.Credentials[i]
		v := &verifier{scheme: scheme{j.Hash.Key, password.Cost{Memory: j.Hash.Memory, Time: j.Hash.Time, Threads: j.Hash.Threads}}}
		if j.ID == "" || ids[j.ID] || !v.cost.Valid() || len(j.Hash.Sum) != len(v.slow) {
			return nil, errDamaged
		}
		ids[j.ID] = true
		if k.all[v.key] == nil {
			continue
		}
		copy(v.slow[:], j.Hash.Sum)
		c := Credential{
			ID: j.ID, Search: j.Search, Factored: j.Factored, Doubt: j.Doubt,
			PasswordStamp: j.PasswordStamp, FactorStamp: j.FactorStamp,
			First: moment(j.First), Proved: moment(j.Proved), Told: moment(j.Told),
			verifier: v,
		}
		if s := j.Session; s != nil {
			c.Session = &Session{s.Hash, moment(s.Begin), moment(s.End), secret.String(s.State), moment(s.Asked), s.Client}
		}
		for _, pj := range j.Proofs {
			p := Proof{
				ID: pj.ID, Way: pj.Way, Client: pj.Client, Factor: pj.Factor,
				At: moment(pj.At), Until: moment(pj.Until), Cookie: secret.String(pj.Cookie), Asked: moment(pj.Asked),
			}
			if pj.CodeKey != "" {
				if len(pj.CodeSum) != len(p.Code.Sum) {
					return nil, errDamaged
				}
				p.Code.Key = pj.CodeKey
				copy(p.Code.Sum[:], pj.CodeSum)
			}
			c.Proofs = append(c.Proofs, p)
		}
		r.Credentials = append(r.Credentials, c)
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
	if us == 0 || us == math.MinInt64 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
