package authentiktest

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"time"
)

// PopulatePassword is the password of every user made by Populate.
const PopulatePassword = "correct horse battery staple"

// Populate adds users user000000, user000001, ... and groups group00000, ...
// in which every user has so many direct memberships. Every tenth group has
// the group with a tenth of its number as parent. The rows hold no more than
// what differs between them; answers are built from them on request.
func (s *Server) Populate(users, groups, memberships int) {
	s.tb.Helper()
	for i := range groups {
		g := Group{Name: fmt.Sprintf("group%05d", i)}
		if i > 0 && i%10 == 0 {
			g.Parents = []string{fmt.Sprintf("group%05d", i/10)}
		}
		s.AddGroup(g)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := make([]*group, groups)
	for i := range rows {
		rows[i] = s.groups.byName[fmt.Sprintf("group%05d", i)]
	}
	joined := s.now().Truncate(time.Microsecond)
	empty := json.RawMessage("{}")
	for i := range users {
		name := fmt.Sprintf("user%06d", i)
		if s.users.byName[name] != nil {
			s.tb.Fatalf("authentiktest: %q exists", name)
		}
		u := &user{attrs: empty, User: User{
			PK:              s.users.next,
			Username:        name,
			Name:            fmt.Sprintf("User %d", i),
			Email:           name + "@example.org",
			Type:            Internal,
			Path:            "users",
			UUID:            uuidOf("user", name),
			DateJoined:      joined,
			PasswordChanged: joined,
			LastUpdated:     joined,
			Password:        PopulatePassword,
		}}
		for j := range min(memberships, groups) {
			// Neighbours share one group; the others are spread out.
			g := rows[(i/20+j*max(1, groups/memberships))%groups]
			u.groups = append(u.groups, g)
			g.join(u)
		}
		s.users.add(u)
	}
}

// PopulateTOTP gives each of the first users that Populate made a TOTP device
// with a secret of its own; see Code.
func (s *Server) PopulateTOTP(users int) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range users {
		u := s.mustUser(fmt.Sprintf("user%06d", i))
		secret := sha256.Sum256([]byte("totp of " + u.Username))
		u.devices = append(u.devices, s.newDevice(u.PK, len(u.devices), Device{
			Class:  ClassTOTP,
			Secret: base32.StdEncoding.EncodeToString(secret[:20]),
		}))
	}
}
