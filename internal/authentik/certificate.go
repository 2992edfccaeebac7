package authentik

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"ldapd/internal/certs"
)

// keyring holds the key pairs of the providers. It belongs to one goroutine.
type keyring struct {
	client *Client
	count  func(endpoint string) // counts a request
	pairs  map[string]keyPair    // by id
}

type keyPair struct {
	fingerprint string // of authentik; empty if it has none
	certificate *tls.Certificate
}

// update returns the certificates of the providers that have one. It downloads
// those whose fingerprint changed. Of a pair that cannot be read or used the
// one before it stays, and the error says so.
func (k *keyring) update(ctx context.Context, providers []Provider) ([]certs.Named, error) {
	var named []certs.Named
	var errs []error
	used := make(map[string]keyPair)
	for i := range providers {
		p := &providers[i]
		if p.Certificate == nil || *p.Certificate == "" {
			continue
		}
		id := *p.Certificate
		pair, ok := used[id]
		if !ok {
			var err error
			pair, err = k.refresh(ctx, id)
			if err != nil {
				errs = append(errs, fmt.Errorf("certificate of provider %q: %w", p.Name, err))
			}
			used[id] = pair
		}
		if pair.certificate != nil {
			named = append(named, certs.Named{Name: p.TLSServerName, Certificate: pair.certificate})
		}
	}
	k.pairs = used
	return named, errors.Join(errs...)
}

// refresh returns a pair as it is now, or as it was before with an error.
func (k *keyring) refresh(ctx context.Context, id string) (keyPair, error) {
	old := k.pairs[id]
	k.count("certificates")
	info, err := k.client.KeyPair(ctx, id)
	if err != nil {
		return old, err
	}
	pair := keyPair{}
	if info.Fingerprint != nil {
		pair.fingerprint = *info.Fingerprint
	}
	if old.certificate != nil && pair.fingerprint != "" && pair.fingerprint == old.fingerprint {
		return old, nil
	}
	k.count("certificates")
	certPEM, err := k.client.Certificate(ctx, id)
	if err != nil {
		return old, err
	}
	k.count("certificates")
	keyPEM, err := k.client.PrivateKey(ctx, id)
	if err != nil {
		return old, err
	}
	if len(keyPEM) == 0 {
		return old, errors.New("authentik has no private key for it")
	}
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return old, err // names the kind of trouble, and nothing of the key
	}
	pair.certificate = &c
	return pair, nil
}
