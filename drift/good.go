package drift

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// Good is a release that was healthy in its target, with all that it takes to
// return to it: no git, no rendering and, if need be, no registry.
type Good struct {
	Release render.Release
	// Evidence is what was found when it was judged; it is judged anew before the
	// release returns.
	Evidence []policies.Evidence
	// Terms are those it was kept on.
	Terms Terms
	At    time.Time // when it was healthy
}

// Lost says that a good release is no longer kept whole: it cannot return.
type Lost struct {
	Commit gitsync.Commit
	Err    error
}

func (e *Lost) Error() string {
	return fmt.Sprintf("the good release of %s is lost: %v", e.Commit.Short(), e.Err)
}

func (e *Lost) Unwrap() error { return e.Err }

// AllLost reports whether an error speaks of releases that are lost and of
// nothing that may be read later.
func AllLost(err error) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(many.Unwrap(), func(one error) bool { return !AllLost(one) })
	}
	var lost *Lost
	return errors.As(err, &lost)
}

// Hold keeps a target away from a release that failed in it.
type Hold struct {
	Release string // the content's digest
	Commit  gitsync.Commit
	Why     string
	// To is the commit of the good release that the target was returned to; empty
	// where the release stays, though one of its gates turned.
	To gitsync.Commit
	At time.Time
	// Gate says that the release was healthy, and a gate turned.
	Gate bool `json:",omitempty"`
	// Judged is by what its health was judged, empty where that was not the cause,
	// or is not known. Judged otherwise the release is tried once more.
	Judged string `json:",omitempty"`
	// Environment is as pawl.yaml had it when what is held was accepted, by which
	// the target is kept meanwhile; nil in a hold of an earlier version.
	Environment *environments.Environment `json:",omitempty"`
}

// maxHoldWhy bounds what is stored of why: a Secret that is too large would be
// refused, and without its hold no release returns.
const maxHoldWhy = 16 << 10

func (h Hold) MarshalJSON() ([]byte, error) {
	type stored Hold
	h.Why = policies.Clip(h.Why, maxHoldWhy)
	return utiljson.Marshal(stored(h))
}

// RollbackRequest is what a person asks of a target.
type RollbackRequest struct {
	// To is a commit, or the beginning of one, whose good release is to return;
	// empty for the last one before the present. Lift ends a hold instead.
	To   string `json:"to,omitempty"`
	Lift bool   `json:"lift,omitempty"`
	// By and Reason are the person's own words.
	By     string `json:"by"`
	Reason string `json:"reason"`
	// At is when it was asked, by the API server's clock; zero where that is not
	// known.
	At time.Time `json:"-"`
}

// RequestLasts is how long a request may wait to be carried out. Who asked waits no
// more by then, and things may have changed.
const RequestLasts = 5 * time.Minute

// Expired reports whether it is too late to do what was asked.
func (r RollbackRequest) Expired(now time.Time) bool {
	return !r.At.IsZero() && now.Sub(r.At) > RequestLasts
}

// Held reports whether a release is the one that is held.
func (h *Hold) Held(release string) bool { return h != nil && h.Release == release }

// Outdated reports whether the release that is held failed by another judgement
// than the present one.
func (h *Hold) Outdated(judged string) bool {
	return h != nil && !h.Gate && h.Judged != "" && h.Judged != judged
}

// Stays reports whether a release is the one that is held, and runs all the same.
func (h *Hold) Stays(release string) bool { return h.Held(release) && h.To == "" }

// goodFormat changes when older agents could misread what is written.
const goodFormat = 1

// maxGoodText bounds what a stored release may unpack to.
const maxGoodText = 256 << 20

// maxKeptPredicate is how large an attestation's content may be to be kept.
// Without it the attestation counts no more where the registry cannot be asked.
const maxKeptPredicate = 128 << 10

type storedGood struct {
	Format      int                        `json:"format"`
	Target      environments.Target        `json:"target"`
	Commit      gitsync.Commit             `json:"commit"`
	Digest      string                     `json:"digest"`
	Objects     []map[string]any           `json:"objects"`
	Evidence    []policies.Evidence        `json:"evidence"`
	Environment environments.Environment   `json:"environment"`
	Demands     string                     `json:"demands,omitempty"`
	Health      []environments.HealthCheck `json:"health,omitempty"`
	At          time.Time                  `json:"at"`
}

// Encode writes the release as gzipped JSON. It holds the content of Secrets,
// so it belongs into one.
func (g Good) Encode() ([]byte, error) {
	stored := storedGood{
		Format: goodFormat, Target: g.Release.Target, Commit: g.Release.Commit, Digest: g.Release.Digest,
		Environment: g.Terms.Environment, Demands: g.Terms.Demands, Health: g.Terms.Health.written, At: g.At,
	}
	for _, o := range g.Release.Objects {
		stored.Objects = append(stored.Objects, o.Object)
	}
	for _, e := range g.Evidence {
		e.Rejected = nil
		e.Attestations = slices.DeleteFunc(slices.Clone(e.Attestations), func(a policies.Attestation) bool { return len(a.Predicate) > maxKeptPredicate })
		stored.Evidence = append(stored.Evidence, e)
	}
	content, err := encode(stored)
	if err != nil {
		return nil, fmt.Errorf("%s: writing a good release: %w", g.Release.Target, err)
	}
	return content, nil
}

// DecodeGood reads what Encode wrote, and refuses anything else. What it says
// of its own digest and images is to be found out anew (render.Renderer.Restore).
func DecodeGood(content []byte) (Good, error) {
	fail := func(err error) (Good, error) { return Good{}, fmt.Errorf("reading a good release: %w", err) }
	packed, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return fail(err)
	}
	text, err := io.ReadAll(io.LimitReader(packed, maxGoodText+1))
	if err != nil {
		return fail(err)
	}
	if len(text) > maxGoodText {
		return fail(fmt.Errorf("it unpacks to more than %d MiB", maxGoodText>>20))
	}
	var stored storedGood
	// Kubernetes' decoder keeps whole numbers whole, as rendering did.
	if err := utiljson.Unmarshal(text, &stored); err != nil {
		// The decoder's words may quote a Secret.
		return fail(errors.New("it is no JSON of the form that was written"))
	}
	if stored.Format != goodFormat {
		return fail(fmt.Errorf("it is in format %d, known is %d", stored.Format, goodFormat))
	}
	health, _, err := NewHealthChecks(stored.Health)
	if err != nil {
		return fail(fmt.Errorf("its health checks: %w", err))
	}
	g := Good{
		Release: render.Release{Target: stored.Target, Commit: stored.Commit, Digest: stored.Digest},
		Terms:   Terms{Environment: stored.Environment, Demands: stored.Demands, Health: health}, Evidence: stored.Evidence, At: stored.At,
	}
	for _, o := range stored.Objects {
		g.Release.Objects = append(g.Release.Objects, &unstructured.Unstructured{Object: o})
	}
	if len(g.Release.Objects) == 0 {
		return fail(errors.New("it has no objects"))
	}
	return g, nil
}
