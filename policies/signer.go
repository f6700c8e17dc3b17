package policies

import (
	"fmt"
	"slices"
	"strings"
)

// Signer is who may sign: exactly one of Key and Identity is set.
type Signer struct {
	Key      *Key
	Identity *Identity
}

// ID identifies the signer by content; empty unless NewTrust made it.
func (s Signer) ID() string {
	if s.Key != nil {
		return s.Key.id
	}
	if s.Identity != nil {
		return s.Identity.id
	}
	return ""
}

// Name is what reports call the signer.
func (s Signer) Name() string {
	if s.Key != nil {
		return s.Key.Name
	}
	if s.Identity != nil {
		return s.Identity.Name
	}
	return ""
}

// called is the same signer by another name.
func (s Signer) called(name string) Signer {
	if s.Identity != nil {
		i := *s.Identity
		i.Name = name
		return Signer{Identity: &i}
	}
	k := *s.Key
	k.Name = name
	return Signer{Key: &k}
}

// String is the signer in a sentence: `the key "release"`.
func (s Signer) String() string {
	if s.Identity != nil {
		return fmt.Sprintf("the identity %q", Clip(s.Identity.Name, 200))
	}
	return fmt.Sprintf("the key %q", Clip(s.Name(), 200))
}

// signersOf joins keys and identities that NewTrust made.
func signersOf(keys []Key, identities []Identity) []Signer {
	var out []Signer
	for _, k := range keys {
		out = append(out, Signer{Key: &k})
	}
	for _, i := range identities {
		out = append(out, Signer{Identity: &i})
	}
	return distinct(out)
}

// distinct keeps the first signer of each content.
func distinct(signers []Signer) []Signer {
	var out []Signer
	for _, s := range signers {
		if !slices.ContainsFunc(out, func(o Signer) bool { return o.ID() == s.ID() }) {
			out = append(out, s)
		}
	}
	return out
}

func ids(signers []Signer) []string {
	var out []string
	for _, s := range signers {
		out = append(out, s.ID())
	}
	slices.Sort(out)
	return out
}

// by names the signers of whom one suffices, or all are needed: `the key
// "release"`, `one of the keys "backup", "release"`.
func by(signers []Signer, all bool) string {
	if len(signers) == 1 {
		return signers[0].String()
	}
	kind := "signers"
	if !slices.ContainsFunc(signers, func(s Signer) bool { return s.Key == nil }) {
		kind = "keys"
	} else if !slices.ContainsFunc(signers, func(s Signer) bool { return s.Identity == nil }) {
		kind = "identities"
	}
	names := make([]string, len(signers))
	for i, s := range signers {
		names[i] = fmt.Sprintf("%q", Clip(s.Name(), 200))
	}
	amount := "one"
	if all {
		amount = "each"
	}
	return fmt.Sprintf("%s of the %s %s", amount, kind, strings.Join(names, ", "))
}
