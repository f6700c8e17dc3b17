// Package registry turns the tags that the first environment follows into
// digests, and reads what an image says about itself for pull requests.
package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/utils/lru"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/promote"
)

// timeout bounds one question, however many requests it takes.
const timeout = 20 * time.Second

// Resolver asks registries about tags.
type Resolver struct {
	client *oci.Client
	// seen are tags whose manifest was fetched, and the digest of its bytes. The
	// value is not a cache of the tag: see tag.
	seen *lru.Cache
}

// New makes a resolver that reads through the client.
func New(client *oci.Client) *Resolver {
	return &Resolver{client: client, seen: lru.New(1024)}
}

// Resolve returns the digest that the tracked tag of a repository has now. The
// digest is computed from bytes that the registry served; whether they are
// signed is for policies to judge.
func (r *Resolver) Resolve(ctx context.Context, repository string, track environments.Track) (promote.Found, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	repo, err := r.client.Repository(repository)
	if err != nil {
		return promote.Found{}, fmt.Errorf("track %s: %w", repository, err)
	}
	tag := track.Tag
	switch {
	case track.Tag != "" && track.Semver != "":
		return promote.Found{}, fmt.Errorf("track %s: has a tag and a semver range; choose one", repository)
	case track.Semver != "":
		if tag, err = r.highest(ctx, repo, track.Semver); err != nil {
			return promote.Found{}, fmt.Errorf("track %s: %w", repository, err)
		}
	case track.Tag == "":
		return promote.Found{}, fmt.Errorf("track %s: has neither a tag nor a semver range", repository)
	}
	digest, err := r.tag(ctx, repo, tag)
	if errors.Is(err, oci.ErrNotFound) {
		return promote.Found{}, fmt.Errorf("track %s: there is no tag %q; push it, or correct the track in pawl.yaml: %w", repository, tag, err)
	}
	if err != nil {
		return promote.Found{}, fmt.Errorf("track %s: %w", repository, err)
	}
	return promote.Found{Digest: digest, Tag: tag}, nil
}

var tagForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// tag first asks for the registry's claim, which pull limits do not count. If
// it is the digest of bytes that this tag had before, those are the answer;
// for anything new the bytes themselves are fetched. A claim that is a lie can
// only hide a change or cause a fetch.
func (r *Resolver) tag(ctx context.Context, repo name.Repository, tag string) (string, error) {
	if !tagForm.MatchString(tag) {
		return "", fmt.Errorf("%q cannot be a tag", tag)
	}
	ref := repo.Tag(tag)
	last, known := r.seen.Get(ref.Name())
	if known {
		if claim, err := r.client.Claim(ctx, ref); err == nil && claim.String() == last {
			return claim.String(), nil
		}
	}
	m, err := r.client.Manifest(ctx, ref)
	if err != nil {
		return "", err
	}
	if _, err := m.Kind(); err != nil {
		return "", fmt.Errorf("%s %w", ref, err)
	}
	r.seen.Add(ref.Name(), m.Digest.String())
	return m.Digest.String(), nil
}

// highest returns the tag with the highest version in the range. Tags that are
// no whole version are passed over: "1.9" and "latest" move, and which release
// they are is not for us to guess.
func (r *Resolver) highest(ctx context.Context, repo name.Repository, want string) (string, error) {
	constraint, err := semver.NewConstraint(want)
	if err != nil {
		return "", fmt.Errorf("%q is no semver range; write it as in \">=1.4 <2\"", want)
	}
	tags, err := r.client.Tags(ctx, repo)
	if err != nil {
		return "", err
	}
	tag, versions := pick(tags, constraint)
	if tag == "" {
		return "", fmt.Errorf("none of its %d tags (%d of them are versions) is in the range %q", len(tags), versions, want)
	}
	return tag, nil
}

// pick returns the highest tag in the range, and how many tags are versions.
func pick(tags []string, constraint *semver.Constraints) (highest string, versions int) {
	var best *semver.Version
	for _, tag := range tags {
		v, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
		if err != nil {
			continue
		}
		versions++
		if !constraint.Check(v) {
			continue
		}
		// "1.2.3" and "v1.2.3" are the same version; the answer must not depend
		// on the order of the list.
		if best == nil || v.GreaterThan(best) || v.Equal(best) && tag < highest {
			best, highest = v, tag
		}
	}
	return highest, versions
}
