package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"ldapd/internal/yamlfile"
)

// Client is a program that binds users, known by where it connects from.
type Client struct {
	Name       string    `yaml:"name"`
	Networks   []Network `yaml:"networks"`
	Encryption string    `yaml:"encryption"` // "", EncryptionPerUser
}

// EncryptionPerUser says that the client encrypts each user's files with a key
// that only the user's password opens.
const EncryptionPerUser = "per-user"

// PerUser reports that the client has EncryptionPerUser.
func (c Client) PerUser() bool { return c.Encryption == EncryptionPerUser }

// ClientOf returns the client that an address belongs to.
func (c *Config) ClientOf(a netip.Addr) (Client, bool) {
	a = a.Unmap().WithZone("")
	for _, client := range c.Clients {
		for _, n := range client.Networks {
			if n.Contains(a) {
				return client, true // networks do not overlap
			}
		}
	}
	return Client{}, false
}

// maxClientName bounds names of clients, in bytes.
const maxClientName = 64

func (c *Config) checkClients() error {
	for i, client := range c.Clients {
		key := func(of string) string { return fmt.Sprintf("clients[%d].%s", i, of) }
		switch {
		case !clientName(client.Name):
			return c.Errorf(key("name"), "must be a name such as nextcloud: 1 to %d printable characters, no comma, and no address", maxClientName)
		case slices.ContainsFunc(c.Clients[:i], func(o Client) bool { return strings.EqualFold(o.Name, client.Name) }):
			return c.Errorf(key("name"), "there are two clients %q", client.Name)
		case len(client.Networks) == 0:
			return c.Errorf(key("networks"), "must be the networks or addresses that %q connects from", client.Name)
		}
		for j, n := range client.Networks {
			for _, other := range c.Clients[:i] {
				for _, o := range other.Networks {
					if n.Overlaps(o.Prefix) {
						return c.Errorf(key(fmt.Sprintf("networks[%d]", j)), "%s of %q overlaps %s of %q", n, client.Name, o, other.Name)
					}
				}
			}
		}
		if client.Encryption != "" {
			if err := c.one(key("encryption"), client.Encryption, EncryptionPerUser); err != nil {
				return err
			}
		}
	}
	return nil
}

// clientName reports that s can stand for a client beside those that have no
// name, which are known by their address.
func clientName(s string) bool {
	if s == "" || len(s) > maxClientName || strings.TrimSpace(s) != s ||
		strings.ContainsFunc(s, func(r rune) bool { return r == ',' || r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return false
	}
	var n Network
	return n.UnmarshalText([]byte(s)) != nil
}

// setClients reads the clients from a variable, where they are YAML.
func setClients(list *[]Client, text string) error {
	var v struct {
		Clients []Client `yaml:"clients"`
	}
	if err := yamlfile.Decode("", []byte("clients: "+text), &v); err != nil {
		if e := (*yamlfile.Error)(nil); errors.As(err, &e) {
			err = fmt.Errorf("%s: must be as in [{name: nextcloud, networks: [10.1.2.3], encryption: per-user}]", strings.TrimPrefix(e.Key+": "+e.Problem, ": "))
		}
		return err
	}
	*list = v.Clients
	return nil
}

// Network is a network or a single address.
type Network struct{ netip.Prefix }

// UnmarshalText accepts 10.0.0.0/8, 2001:db8::/32 and single addresses.
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	p, err := netip.ParsePrefix(s)
	if err != nil {
		var a netip.Addr
		if a, err = netip.ParseAddr(s); err == nil {
			p, err = a.Prefix(a.BitLen())
		}
	}
	if err != nil {
		return fmt.Errorf("must be a network such as 10.0.0.0/8 or an address")
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	n.Prefix = p.Masked()
	return nil
}
