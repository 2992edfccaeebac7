package bind

import (
	"errors"
	"net/netip"
	"slices"

	"ldapd/internal/auth"
	"ldapd/internal/auth/guard"
	"ldapd/internal/directory"
	"ldapd/internal/ldap"
	"ldapd/internal/mfa"
	"ldapd/internal/policy"
	"ldapd/internal/verified"
)

// who is the user that a bind is for. One that does not exist goes all the way,
// as it must not be told from one whose password is wrong.
type who struct {
	dir     Directory   // nil: the DN is in no tree
	name    string      // as the client wrote it, without a code
	code    auth.Secret // behind the name; empty: none
	account directory.Account
	known   bool
	user    policy.User   // what the backend knows of him, if known
	key     verified.User // of his verified binds; of nobody's, if not known
}

// subject names the user where something is counted, whichever name was used,
// or the name that nobody has.
func (w who) subject() string {
	if w.known {
		return "user " + w.account.UUID
	}
	return "name " + string(ldap.Fold(nil, []byte(w.name)))
}

// resolve finds the user of a bind DN. The error is 34 for what is no DN, and 52
// if there is nothing to find anybody in yet.
func (p *Pipeline) resolve(dn string) (who, error) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return who{}, err
	}
	dir, err := p.Directory(parsed)
	if err != nil {
		return who{}, undetermined(err)
	}
	if dir == nil {
		return p.known(who{name: dn}), nil
	}
	name, ok := dir.LoginName(parsed)
	if !ok {
		return p.known(who{name: dn}), nil
	}
	w := who{dir: dir, name: name}
	if w.account, w.known = dir.AccountByName(name); w.known || !p.Rules.CodeInUsername {
		return p.known(w), nil
	}
	if head, code, ok := mfa.Split(name, p.Separator); ok {
		w.name, w.code = head, auth.Secret(code)
		w.account, w.known = dir.AccountByName(head)
	}
	return p.known(w), nil
}

// known adds what the backend knows of a user at the moment.
func (p *Pipeline) known(w who) who {
	if !w.known {
		w.key = verified.User{Base: w.account.Base, UUID: "nobody"}
		return w
	}
	w.key = verified.User{Base: w.account.Base, UUID: w.account.UUID}
	w.user.Active = w.account.Active
	if p.stamper != nil {
		w.user.PasswordStamp, w.user.FactorStamp = p.stamper.Stamps(w.account)
	}
	return w
}

// place is where a bind comes from.
type place struct {
	addr   netip.Addr
	client Client // the one that is named, or the address
	home   bool   // the user was granted here before
	from   guard.From
}

// place says where a bind of a user comes from.
func (p *Pipeline) place(w who, addr, peer netip.Addr) place {
	at := place{addr: addr, client: p.clientAt(addr), from: guard.NewFrom(p.key, w.subject(), addr, peer)}
	if p.Book != nil && w.known {
		at.home = slices.Contains(p.Book.Places(w.key), at.client.Name)
	}
	return at
}

// trusts reports that the limits do not refuse a bind here, but slow it down:
// the user is at home, the client is named, or it looked him up by an account
// that may search.
func (p *Pipeline) trusts(w who, at place) bool {
	if at.home || at.client.named {
		return true
	}
	return p.Logins != nil && w.known && p.Logins.Expects(at.addr, w.account.Base, w.account.UUID)
}

// clientAt says who binds from an address.
func (p *Pipeline) clientAt(a netip.Addr) Client {
	c := p.Client(a)
	c.named = c.Name != ""
	if !c.named {
		c.Name = guard.Network(a)
	}
	return c
}

// said is what a bind presents.
type said struct {
	whole    auth.Secret    // the password as it came
	code     auth.Secret    // behind the name in the DN
	readings []auth.Attempt // the ways to read it, in the order to try them
	guarded  bool           // the password ends like a code, where none may stand
}

// present finds the ways to read a credential. Their number depends on nothing
// but the shape of the password and the client, so the time that they take tells
// nothing about the user.
func (p *Pipeline) present(w who, at place, password auth.Secret) said {
	s := said{whole: password, code: w.code}
	whole := auth.Attempt{
		Name: w.name, Account: w.account, Known: w.known, Addr: at.addr, Home: at.home, Password: password,
	}
	if w.code != "" {
		whole.Code, whole.CodeIn = w.code, auth.InUsername
	}
	head, code, ends := mfa.Split(password, p.Separator)
	s.guarded = ends && at.client.PerUserKeys
	if ends && p.CodeInPassword && !s.guarded {
		split := whole
		split.Password, split.Code, split.CodeIn = head, code, auth.InPassword
		s.readings = append(s.readings, split)
	}
	s.readings = append(s.readings, whole)
	return s
}

// explain names the likely mistake of a user who put a code behind the
// password where none is taken.
func (p *Pipeline) explain(said said, err error) error {
	var d *auth.Denied
	if !errors.As(err, &d) {
		return err
	}
	told := *d
	if said.guarded { // whoever it is and whatever is wrong, or the text would tell
		told.Hint = guardText
		if d.Reason == auth.WrongPassword {
			told.Reason = auth.CodeGuarded
		}
		return &told
	}
	if p.CodeInPassword || d.Reason != auth.WrongPassword {
		return err
	}
	if _, _, ok := mfa.Split(said.whole, p.Separator); ok {
		told.Reason = auth.CodeInSecret
		return &told
	}
	return err
}
