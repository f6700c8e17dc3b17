package oci

import (
	"encoding/hex"
	"errors"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// checkHost refuses names of hosts that DNS reads as another one, which a rule
// for that one would not be matched against: capitals, a dot at the end, and
// letters beyond ASCII, which have to be written in punycode.
func checkHost(registry string) error {
	host, _ := splitHost(registry)
	for _, r := range host {
		switch {
		case r >= 'A' && r <= 'Z':
			return errors.New("its host has capital letters; write it in small ones")
		case r > '~' || r <= ' ':
			return errors.New("its host has letters beyond ASCII; write it in punycode")
		}
	}
	if strings.HasSuffix(host, ".") {
		return errors.New("its host ends with a dot; write it without")
	}
	return nil
}

// checkName refuses a repository that a registry could read as another one.
func checkName(repo name.Repository) error {
	if err := checkHost(repo.RegistryStr()); err != nil {
		return err
	}
	for _, part := range strings.Split(repo.RepositoryStr(), "/") {
		if part == "" || part == "." || part == ".." {
			return errors.New("its path has a part that is empty, \".\" or \"..\"")
		}
	}
	return nil
}

// aspect is what is asked about, which decides whether a mirror counts.
type aspect int

const (
	content    aspect = iota // by digest: anybody may have it
	signatures               // what was attached to a digest: vouched for by who signed it
	tags                     // what a tag means: nothing vouches for it
)

var attached = regexp.MustCompile(`^sha(256|512)-[0-9a-f]+(\.(sig|att|sbom))?$`)

func aspectOf(ref name.Reference) aspect {
	switch ref := ref.(type) {
	case name.Digest:
		return content
	case name.Tag:
		if attached.MatchString(ref.TagStr()) {
			return signatures
		}
	}
	return tags
}

// move is the same tag or digest of another repository.
func move(ref name.Reference, at name.Repository) name.Reference {
	if d, ok := ref.(name.Digest); ok {
		return at.Digest(d.DigestStr())
	}
	return at.Tag(ref.Identifier())
}

func hash(algorithm string, b []byte) (v1.Hash, error) {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, err
	}
	_, _ = h.Write(b)
	return v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(h.Sum(nil))}, nil
}
