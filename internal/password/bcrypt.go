package password

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/bcrypt"
)

const maxBcryptCost = 16

type bcryptHash []byte

func parseBcrypt(s string) (scheme, error) {
	cost, err := bcrypt.Cost([]byte(s))
	if err != nil || len(s) != 60 {
		return nil, errors.New("bcrypt: must be $2b$, the cost in two digits, $ and 53 characters")
	}
	if cost > maxBcryptCost {
		return nil, fmt.Errorf("bcrypt: the cost must be %d to %d", bcrypt.MinCost, maxBcryptCost)
	}
	return bcryptHash(s), nil
}

func (b bcryptHash) matches(password string) bool {
	return bcrypt.CompareHashAndPassword(b, []byte(password)) == nil
}
