package cosign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/policies"
)

// Limits of what is looked at for one image. Whoever may push may bury a good
// signature under bad ones; the image is then refused, and the refusal says so.
const (
	maxLayers      = 64        // signatures, attestations or bundles of one scheme
	maxPayload     = 128 << 10 // of a signature in a tag
	maxBundle      = 1 << 20   // of a signature in a bundle
	maxAttestation = 16 << 20  // of an attestation, with its envelope
	maxTogether    = 64 << 20  // of all that is fetched
	maxRejected    = 8
)

// place is where evidence is stored, in the order in which it is reported.
type place int

const (
	trustRoots place = iota
	signatureTag
	attestationTag
	referrers
	places
)

func (p place) String() string {
	return [places]string{"the trust roots", "the signatures' tag", "the attestations' tag", "the list of referrers"}[p]
}

// finding is what one place has.
type finding struct {
	signatures   []policies.Signature
	attestations []policies.Attestation
	rejected     []string
	// short says that the place has, or may have, attestations that were not
	// looked at.
	short bool
}

// looking is one look at one image.
type looking struct {
	client  *oci.Client
	large   *semaphore.Weighted
	repo    name.Repository
	digest  v1.Hash
	signers []signer
	wanted  policies.Wanted
	// satisfied asks the rules, which takes its time with large attestations.
	satisfied func(signatures []policies.Signature, attestations []policies.Attestation) bool

	mu    sync.Mutex
	found [places]finding
	left  int64 // of maxTogether
	news  bool  // something was found since the rules were asked
	done  bool
}

// seen is what a look found, whether it satisfies the rules, and until when it
// may be taken for true.
type seen struct {
	evidence  policies.Evidence
	satisfies bool
	until     time.Time
}

// look asks the registry. Its error means that nothing is known.
func (c *Collector) look(ctx context.Context, at look, now time.Time) (seen, error) {
	e := policies.Evidence{Image: at.image.Pinned()}
	repo, err := c.client.Repository(at.image.Repository)
	if err != nil {
		e.Problem = "has a repository that cannot be read"
		return seen{evidence: e}, nil
	}
	digest, err := v1.NewHash(at.image.Digest)
	if err != nil {
		e.Problem = "has a digest that cannot be read"
		return seen{evidence: e}, nil
	}
	l := &looking{
		client: c.client, large: c.large, repo: repo, digest: digest, left: maxTogether,
		signers: c.roots.signers(at.trust.Signers(at.image.Repository), now),
		wanted:  at.trust.Wanted(at.image.Repository),
	}
	l.satisfied = func(signatures []policies.Signature, attestations []policies.Attestation) bool {
		return at.trust.Satisfied(at.image.Repository, policies.Evidence{Exists: true, Signatures: signatures, Attestations: attestations}, now)
	}
	for _, s := range l.signers {
		if s.problem != nil && !slices.Contains(l.found[trustRoots].rejected, s.problem.Error()) {
			l.reject(trustRoots, s.problem.Error())
		}
	}

	// Whether the image is there, signed and attested is asked at the same
	// time; bundles only where the tags do not suffice.
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		e.Problem, err = l.exists(gctx)
		return err
	})
	g.Go(func() error { return l.tag(gctx, signatureTag) })
	if l.attestations() {
		g.Go(func() error { return l.tag(gctx, attestationTag) })
	}
	if err := g.Wait(); err != nil {
		return seen{}, err
	}
	e.Exists = e.Problem == ""
	if e.Exists && !l.enough() {
		if err := l.bundles(ctx); err != nil {
			return seen{}, err
		}
	}
	l.report(&e)
	satisfies := e.Exists && (l.done || l.satisfied(e.Signatures, e.Attestations))
	return seen{evidence: e, satisfies: satisfies, until: l.until(e)}, nil
}

// attestations says whether any are looked for.
func (l *looking) attestations() bool { return l.wanted.All || len(l.wanted.Types) > 0 }

// report fills in what was found in all places.
func (l *looking) report(e *policies.Evidence) {
	short := false
	var rejected []string
	for p, f := range l.found {
		e.Signatures = append(e.Signatures, f.signatures...)
		e.Attestations = append(e.Attestations, f.attestations...)
		rejected = append(rejected, f.rejected...)
		short = short || f.short && place(p) != signatureTag
	}
	if short && len(l.wanted.Every) > 0 {
		// That every one of them is good cannot be said, so none is shown.
		e.Attestations = slices.DeleteFunc(e.Attestations, func(a policies.Attestation) bool { return slices.Contains(l.wanted.Every, a.Type) })
		rejected = slices.Insert(rejected, 0, "not all attestations could be looked at, so none of those counts of which every one must be good")
	}
	if more := len(rejected) - maxRejected; more > 0 {
		rejected = append(rejected[:maxRejected:maxRejected], fmt.Sprintf("and %d more", more))
	}
	e.Rejected = rejected
}

// until is when the first root of those who signed is out of date.
func (l *looking) until(e policies.Evidence) time.Time {
	until := never
	for _, s := range l.signers {
		id := s.ID()
		signed := slices.ContainsFunc(e.Signatures, func(f policies.Signature) bool { return f.By.ID == id }) ||
			slices.ContainsFunc(e.Attestations, func(f policies.Attestation) bool { return f.By.ID == id })
		if signed && s.until.Before(until) {
			until = s.until
		}
	}
	return until
}

// enough says that the rules are satisfied and nothing more could change that.
func (l *looking) enough() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done || !l.news || l.wanted.All || len(l.wanted.Every) > 0 {
		return l.done
	}
	l.news = false
	var signatures []policies.Signature
	var attestations []policies.Attestation
	for _, f := range l.found {
		signatures = append(signatures, f.signatures...)
		attestations = append(attestations, f.attestations...)
	}
	for _, t := range l.wanted.Types { // cheaper than to ask
		if !slices.ContainsFunc(attestations, func(a policies.Attestation) bool { return a.Type == t }) {
			return false
		}
	}
	l.done = l.satisfied(signatures, attestations)
	return l.done
}

func (l *looking) reject(p place, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found[p].rejected = append(l.found[p].rejected, policies.Clip(reason, 400))
}

// cut notes that not all of a place is looked at, and why.
func (l *looking) cut(p place, reason string) {
	l.reject(p, reason)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found[p].short = true
}

func (l *looking) acceptSignature(p place, by policies.SignedBy, scheme policies.Scheme) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := policies.Signature{By: by, Scheme: scheme}
	if !slices.Contains(l.found[p].signatures, s) {
		l.found[p].signatures = append(l.found[p].signatures, s)
		l.news = true
	}
}

// acceptAttestation keeps what a rule or a policy will read, and no other:
// bills of materials are large.
func (l *looking) acceptAttestation(p place, by policies.SignedBy, scheme policies.Scheme, s statement) {
	if !l.wanted.All && !slices.Contains(l.wanted.Types, s.PredicateType) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found[p].attestations = append(l.found[p].attestations, policies.Attestation{By: by, Scheme: scheme, Type: s.PredicateType, Predicate: s.Predicate})
	l.news = true
}

// exists fetches the image's manifest, so that what was signed is also what a
// node will pull. An empty problem means that it is there.
func (l *looking) exists(ctx context.Context) (problem string, err error) {
	m, err := l.client.Manifest(ctx, l.repo.Digest(l.digest.String()))
	switch {
	case errors.Is(err, oci.ErrNotFound):
		return fmt.Sprintf("is not in its registry: %s has no such digest", l.repo.RegistryStr()), nil
	case errors.Is(err, oci.ErrInvalid):
		return fmt.Sprintf("cannot be trusted to be what runs: %v", err), nil
	case err != nil:
		return "", err
	}
	if _, err := m.Kind(); err != nil {
		return err.Error(), nil
	}
	return "", nil
}
