package authentik

import (
	"context"
	"net/url"
)

// KeyPair is a certificate that authentik keeps.
type KeyPair struct {
	PK          string  `json:"pk"`
	Name        string  `json:"name"`
	Fingerprint *string `json:"fingerprint_sha256"` // changes with the certificate
}

// KeyPair reads what is known of a certificate.
func (c *Client) KeyPair(ctx context.Context, id string) (KeyPair, error) {
	var k KeyPair
	err := c.get(ctx, keyPairPath(id), nil, &k)
	return k, err
}

// Certificate reads a certificate in PEM, with the chain behind it if there
// is one.
func (c *Client) Certificate(ctx context.Context, id string) ([]byte, error) {
	return c.keyPairData(ctx, id, "view_certificate/")
}

// PrivateKey reads a private key in PEM; it is empty if authentik has none.
func (c *Client) PrivateKey(ctx context.Context, id string) ([]byte, error) {
	return c.keyPairData(ctx, id, "view_private_key/")
}

func (c *Client) keyPairData(ctx context.Context, id, what string) ([]byte, error) {
	var v struct {
		Data string `json:"data"`
	}
	err := c.get(ctx, keyPairPath(id)+what, nil, &v)
	return []byte(v.Data), err
}

func keyPairPath(id string) string {
	return "crypto/certificatekeypairs/" + url.PathEscape(id) + "/"
}
