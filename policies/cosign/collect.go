// Package cosign collects evidence from registries: signatures and
// attestations by key pairs and by identities (keyless), in both of cosign's
// schemes, the .sig and .att tags and the Sigstore bundles among the referrers.
// It asks the image's own registry and nobody else: no Sigstore service, no
// transparency log. What a signature does not bring, it does not have, and
// trust roots are given.
package cosign

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// Options of a Collector; the zero value is good.
type Options struct {
	// Timeout bounds the look at one image; 15 s if zero.
	Timeout time.Duration
	// Parallel is how many images are looked at at the same time; 8 if zero.
	Parallel int
	// Remembered is how many satisfied images are kept in memory, 4096 if zero,
	// and RememberedBytes how much they may take together, 32 MiB if zero: what
	// attestations say is kept as well.
	Remembered      int
	RememberedBytes int64
	// Clock is time.Now if nil.
	Clock func() time.Time
}

const (
	// Evidence that was complete when it was found is asked for again after
	// this long, where new evidence could make it insufficient.
	completeFor = 5 * time.Minute
	// And it is good enough for this long while the registry cannot be asked.
	completeInOutage = 24 * time.Hour
	// Whether conditions are still met is asked again after this long. Judge
	// asks each time; this is for evidence that was replaced by newer.
	checkedFor = time.Minute
)

// Collector finds and verifies signatures and attestations.
type Collector struct {
	client  *oci.Client
	options Options
	roots   roots
	// remembered is by image and the trust's fingerprint. What did not satisfy
	// is looked for anew each time: a signature may have arrived. A key that is
	// no longer trusted is another fingerprint.
	remembered *memory
	flights    singleflight.Group
	// large bounds the attestations that are held at the same time.
	large *semaphore.Weighted
}

// New makes a collector that reads through the client.
func New(client *oci.Client, o Options) *Collector {
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	if o.Remembered <= 0 {
		o.Remembered = 4096
	}
	if o.RememberedBytes <= 0 {
		o.RememberedBytes = 32 << 20
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Collector{
		client: client, options: o,
		remembered: newMemory(o.Remembered, o.RememberedBytes),
		large:      semaphore.NewWeighted(maxLarge),
	}
}

// Collect returns what is found for each pinned image, by Image.Pinned. An
// image that no rule covers, or that is not pinned, is not looked for; Judge
// refuses it without evidence. Attestations are looked for where a rule demands
// some, or the trust is one WithAttestations.
//
// Where registries cannot be asked, the error joins a *policies.Unavailable
// for each such image, and the evidence of the others is returned with it.
func (c *Collector) Collect(ctx context.Context, images []render.Image, trust policies.Trust) (map[string]policies.Evidence, error) {
	var mu sync.Mutex
	found := make(map[string]policies.Evidence, len(images))
	var failed []error
	var cold []look
	for _, image := range images {
		if image.Digest == "" || !trust.Covers(image.Repository) {
			continue
		}
		pinned := image.Pinned()
		if _, ok := found[pinned]; ok {
			continue
		}
		l := look{image: image, trust: trust, key: pinned + " " + trust.Fingerprint(image.Repository)}
		if r, ok := c.recall(l); ok && !c.stale(l, r) {
			found[pinned] = r.evidence
			continue
		}
		if !slices.ContainsFunc(cold, func(o look) bool { return o.key == l.key }) {
			cold = append(cold, l)
		}
	}
	var g errgroup.Group
	g.SetLimit(c.options.Parallel)
	for _, l := range cold {
		g.Go(func() error {
			e, err := c.once(ctx, l)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, &policies.Unavailable{Image: l.image.Pinned(), Err: err})
			} else {
				found[l.image.Pinned()] = e
			}
			return nil
		})
	}
	_ = g.Wait()
	slices.SortFunc(failed, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return found, errors.Join(failed...)
}

// look is one image to look at, and by what key the result is remembered.
type look struct {
	image render.Image
	trust policies.Trust
	key   string
}

// once looks at an image, together with everybody else who wants the same at
// this moment. The look has a deadline of its own and goes on when one of them
// gives up.
func (c *Collector) once(ctx context.Context, l look) (policies.Evidence, error) {
	flight := c.flights.DoChan(l.key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.options.Timeout)
		defer cancel()
		old, known := c.recall(l)
		if known && !c.stale(l, old) { // another flight ended just now
			return old.evidence, nil
		}
		now := c.options.Clock()
		found, err := c.look(ctx, l, now)
		switch {
		case err != nil && known && now.Before(old.complete.Add(completeInOutage)):
			return old.evidence, nil
		case err != nil:
			return policies.Evidence{}, err
		case found.satisfies:
			c.remembered.put(l.key, remembered{evidence: found.evidence, until: found.until, complete: now, checked: now})
		default:
			c.remembered.forget(l.key)
		}
		return found.evidence, nil
	})
	select {
	case <-ctx.Done():
		return policies.Evidence{}, ctx.Err()
	case r := <-flight:
		if r.Err != nil {
			return policies.Evidence{}, r.Err
		}
		return clone(r.Val.(policies.Evidence)), nil
	}
}

// recall returns a copy of remembered evidence that still satisfies.
func (c *Collector) recall(l look) (remembered, bool) {
	r, ok := c.remembered.get(l.key)
	now := c.options.Clock()
	if !ok || !now.Before(r.until) {
		return remembered{}, false
	}
	if now.Sub(r.checked) >= checkedFor {
		if !l.trust.Satisfied(l.image.Repository, r.evidence, now) {
			return remembered{}, false
		}
		c.remembered.checked(l.key, now)
	}
	r.evidence = clone(r.evidence)
	return r, true
}

// stale says that there may be more by now, which could change the verdict.
func (c *Collector) stale(l look, r remembered) bool {
	return l.trust.WantsAll(l.image.Repository) && c.options.Clock().Sub(r.complete) >= completeFor
}
