package policies

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// pattern says which repositories a rule is about. It is compared with the
// parsed, normal form of a repository and never with what somebody wrote.
type pattern struct {
	host     string   // exact; empty means any, for the pattern "**" alone
	segments []string // of the path; "*" matches within one, "**" is any number of them
}

// dockerHub is the normal form of docker.io.
const dockerHub = name.DefaultRegistry

// patternSegment is what a segment of a pattern's path may hold. It is kept
// narrow because path.Match knows more special characters than we promise.
var patternSegment = regexp.MustCompile(`^[a-z0-9*]([a-z0-9._*-]*[a-z0-9*])?$`)

// parsePattern reads "ghcr.io/acme/*". A pattern names its registry, since
// "acme/*" would silently mean Docker Hub, and the registry has no wildcard,
// since "ghcr.io*" would also mean ghcr.io.evil.com.
func parsePattern(s string) (pattern, error) {
	if s == "**" {
		return pattern{segments: []string{"**"}}, nil
	}
	host, rest, ok := strings.Cut(s, "/")
	if !ok || host != "localhost" && !strings.ContainsAny(host, ".:") {
		return pattern{}, fmt.Errorf("%q names no registry; write it as in \"ghcr.io/acme/*\", or \"**\" for every image", s)
	}
	if strings.Contains(host, "*") {
		return pattern{}, fmt.Errorf("%q has a wildcard in the registry's name; name the registry, and use one rule for each", s)
	}
	reg, err := name.NewRegistry(host)
	if err != nil || host != strings.ToLower(host) || strings.HasSuffix(host, ".") {
		return pattern{}, fmt.Errorf("%q: %q is no registry's name; write it in lower case, as in \"ghcr.io\"", s, host)
	}
	p := pattern{host: reg.Name(), segments: strings.Split(rest, "/")}
	for _, seg := range p.segments {
		if !patternSegment.MatchString(seg) || seg != "**" && strings.Contains(seg, "**") {
			return pattern{}, fmt.Errorf("%q: %q is no part of a repository's name; \"*\" stands for any name, \"**\" alone for any number of them, and tags and digests are left out", s, seg)
		}
	}
	if p.host == dockerHub && len(p.segments) == 1 && p.segments[0] != "**" {
		p.segments = []string{"library", p.segments[0]}
	}
	return p, nil
}

// covers reports whether the repository, in its normal form, is meant.
func (p pattern) covers(repository string) bool {
	host, rest, ok := strings.Cut(repository, "/")
	if !ok || p.host != "" && p.host != host {
		return false
	}
	return coverSegments(p.segments, strings.Split(rest, "/"))
}

func coverSegments(pattern, segments []string) bool {
	for i, p := range pattern {
		if p == "**" {
			for n := 1; n <= len(segments); n++ {
				if coverSegments(pattern[i+1:], segments[n:]) {
					return true
				}
			}
			return false
		}
		if len(segments) == 0 {
			return false
		}
		if ok, err := path.Match(p, segments[0]); err != nil || !ok {
			return false
		}
		segments = segments[1:]
	}
	return len(segments) == 0
}

// repositoryPath is the grammar of the distribution specification. The parser
// used for references is laxer: it lets "acme/../evil" and "a//b" through,
// which a registry or a proxy may resolve to something else than we matched.
var repositoryPath = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

var errUnpinned = errors.New("is not pinned by a digest")

var digestForm = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)

// parsePinned reads an image reference as it stands in an object into its
// normal form. It accepts only what is pinned by a sha256 digest.
func parsePinned(reference string) (repository, digest string, err error) {
	if !strings.Contains(reference, "@") {
		return "", "", errUnpinned
	}
	d, err := name.NewDigest(reference)
	if err != nil {
		return "", "", fmt.Errorf("is no image reference (%q)", Clip(reference, 200))
	}
	if !digestForm.MatchString(d.DigestStr()) {
		return "", "", fmt.Errorf("is pinned by %q, and only sha256 digests are accepted", Clip(d.DigestStr(), 80))
	}
	if !repositoryPath.MatchString(d.RepositoryStr()) {
		return "", "", fmt.Errorf("has a repository that no registry may have (%q)", Clip(d.RepositoryStr(), 200))
	}
	return d.Context().Name(), d.DigestStr(), nil
}

// Clip bounds what others wrote, in bytes.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
