package gitsync

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// Signer is somebody whose signature on a commit counts.
type Signer struct {
	// Name is how reports call the signer: "Ada Lovelace", "release robot".
	Name string
	// Key is an armored OpenPGP public key, or SSH public keys, one a line, as in
	// an id_ed25519.pub ("ssh-ed25519 AAAA… comment") or in an allowed_signers
	// file ("principals [options] ssh-ed25519 AAAA…").
	Key string
}

// Signers are those whose signatures count. The zero Signers know nobody.
type Signers struct {
	openpgp []openpgpKey
	ssh     map[string]sshKey // by their fingerprint
}

type openpgpKey struct {
	signer string
	entity *openpgp.Entity
}

// NewSigners reads the signers' keys. What is wrong with any of them is told,
// all at once: a signer that was silently left out would be missed when it is
// needed.
func NewSigners(signers []Signer) (Signers, error) {
	s := Signers{ssh: map[string]sshKey{}}
	var problems []error
	for i, one := range signers {
		if one.Name == "" {
			problems = append(problems, fmt.Errorf("signer %d has no name", i+1))
			continue
		}
		if err := s.add(one); err != nil {
			problems = append(problems, fmt.Errorf("signer %s: %w", one.Name, err))
		}
	}
	if len(problems) > 0 {
		return Signers{}, errors.Join(problems...)
	}
	return s, nil
}

func (s *Signers) add(one Signer) error {
	text := strings.TrimSpace(one.Key)
	switch {
	case text == "":
		return errors.New("has no key")
	case len(text) > mostKeyText:
		return fmt.Errorf("the key takes more than %d KiB", mostKeyText>>10)
	case strings.Contains(text, "PRIVATE KEY"):
		return errors.New("that is a private key; it belongs to its owner alone, replace it and give the public one")
	case strings.HasPrefix(text, "-----BEGIN PGP PUBLIC KEY BLOCK-----"):
		return s.addOpenPGP(one.Name, text)
	case strings.HasPrefix(text, "-----BEGIN"), strings.HasPrefix(text, "---- BEGIN"):
		return errors.New("want an armored OpenPGP public key or an SSH public key as in id_ed25519.pub")
	default:
		return s.addSSH(one.Name, text)
	}
}
