package policies

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Rule demands a signature of the images that it covers.
type Rule struct {
	// Images is the pattern of the repositories: "ghcr.io/acme/*", where "*"
	// matches within one path segment and "**" any number of segments. "**"
	// alone is every image.
	Images string
	// Keys and Identities are the signers. A valid signature by any one of them
	// satisfies the rule, or only by all of them where All is set.
	Keys       []Key
	Identities []Identity
	All        bool
	// Attestations that each image needs beside its signature, every one of them.
	Attestations []AttestationDemand
}

// Trust is what must be known of an image before it runs. Rules add up: an
// image must be covered by at least one, and satisfies every one that covers
// it. So more rules never let more through, except for images that none
// covered before. The zero Trust refuses every image.
type Trust struct {
	rules []trustRule
}

type trustRule struct {
	Rule
	pattern pattern
}

// NewTrust checks the rules and the keys in them, and reports every problem.
func NewTrust(rules []Rule) (Trust, error) {
	var t Trust
	var problems []error
	byName := map[string]Key{}
	for i, r := range rules {
		at := fmt.Sprintf("trust[%d]", i)
		p, err := parsePattern(r.Images)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s.images: %w", at, err))
		}
		if len(r.Keys) == 0 {
			problems = append(problems, fmt.Errorf("%s.keys: is empty, so nothing could ever satisfy it; name at least one public key", at))
		}
		keys := make([]Key, 0, len(r.Keys))
		for j, k := range r.Keys {
			k, err := parseKey(k)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s.keys[%d]: %w", at, j, err))
				continue
			}
			if other, ok := byName[k.Name]; ok && other.id != k.id {
				problems = append(problems, fmt.Errorf("%s.keys[%d]: %s has the same name as the different %s; names tell signers apart in every report", at, j, k, other))
			}
			byName[k.Name] = k
			keys = append(keys, k)
		}
		t.rules = append(t.rules, trustRule{Rule: Rule{Images: r.Images, Keys: keys}, pattern: p})
	}
	if len(problems) > 0 {
		return Trust{}, errors.Join(problems...)
	}
	return t, nil
}

// String names the key and its file.
func (k Key) String() string {
	if k.File == "" {
		return fmt.Sprintf("key %q", k.Name)
	}
	return fmt.Sprintf("key %q (%s)", k.Name, k.File)
}

func parseKey(k Key) (Key, error) {
	if k.Name == "" {
		return Key{}, fmt.Errorf("a key (%s) has no name; reports name the signer", k.File)
	}
	block, rest := pem.Decode(k.PEM)
	switch {
	case block == nil:
		return Key{}, fmt.Errorf("%s holds no PEM block; give it the file that cosign generate-key-pair calls cosign.pub", k)
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return Key{}, fmt.Errorf("%s is a private key; the agent needs only the public half (cosign public-key), keep the other one away from it", k)
	case block.Type != "PUBLIC KEY":
		return Key{}, fmt.Errorf("%s is a PEM block of type %q; a \"PUBLIC KEY\" is needed", k, block.Type)
	case len(bytes.TrimSpace(rest)) > 0:
		return Key{}, fmt.Errorf("%s holds more than one PEM block; write one key to a file and list each", k)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Key{}, fmt.Errorf("%s cannot be read as a public key: %w", k, err)
	}
	switch key := public.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return Key{}, fmt.Errorf("%s is an RSA key of %d bits; at least 2048 are needed", k, key.N.BitLen())
		}
	default:
		return Key{}, fmt.Errorf("%s is a %T; ECDSA, Ed25519 and RSA keys are known", k, public)
	}
	sum := sha256.Sum256(block.Bytes)
	k.id, k.public, k.PEM = "sha256:"+hex.EncodeToString(sum[:]), public, bytes.Clone(k.PEM)
	return k, nil
}

// Rules returns the rules that cover a repository, given in its normal form.
// Without any, images of that repository are refused.
func (t Trust) Rules(repository string) []Rule {
	var out []Rule
	for _, r := range t.rules {
		if r.pattern.covers(repository) {
			out = append(out, Rule{Images: r.Images, Keys: slices.Clone(r.Keys)})
		}
	}
	return out
}

// Keys returns the distinct keys of all rules that cover a repository: the
// keys by which a signature is worth looking for.
func (t Trust) Keys(repository string) []Key {
	var out []Key
	for _, r := range t.rules {
		if !r.pattern.covers(repository) {
			continue
		}
		for _, k := range r.Keys {
			if !slices.ContainsFunc(out, func(o Key) bool { return o.id == k.id }) {
				out = append(out, k)
			}
		}
	}
	return out
}

// Satisfied reports whether the evidence meets every rule that covers the
// repository, and there is one. Judge asks the same and says what is missing.
func (t Trust) Satisfied(repository string, e Evidence) bool {
	rules := t.Rules(repository)
	return e.Exists && len(rules) > 0 && len(unsatisfied(rules, e)) == 0
}

func unsatisfied(rules []Rule, e Evidence) []Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool {
		return slices.ContainsFunc(e.Signatures, func(s Signature) bool {
			return s.By.ID != "" && slices.ContainsFunc(r.Keys, func(k Key) bool { return k.id == s.By.ID })
		})
	})
}
