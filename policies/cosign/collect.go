// Package cosign collects evidence from registries: signatures by key pair in
// both of cosign's schemes, the .sig tag and the Sigstore bundle among the
// referrers. It asks the image's own registry and nobody else: no Sigstore
// service, no trust root to be refreshed.
package cosign

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
	"k8s.io/utils/lru"

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
	// Remembered is how many satisfied images are kept in memory; 4096 if zero.
	Remembered int
}

// Collector finds and verifies signatures.
type Collector struct {
	client  *oci.Client
	options Options
	// remembered holds evidence that satisfied its trust, by image and
	// rules. What did not satisfy is looked for anew each time: a signature may
	// have arrived. What a digest and its signature are never changes, so
	// nothing here grows old; a key that is no longer trusted is another rule.
	remembered *lru.Cache
	flights    singleflight.Group
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
	return &Collector{client: client, options: o, remembered: lru.New(o.Remembered)}
}

// Collect returns what is found for each pinned image, by Image.Pinned. An
// image that no rule covers, or that is not pinned, is not looked for; Judge
// refuses it without evidence.
//
// Where registries cannot be asked, the error joins a *policies.Unavailable
// for each such image, and the evidence of the others is returned with it.
func (c *Collector) Collect(ctx context.Context, images []render.Image, trust policies.Trust) (map[string]policies.Evidence, error) {
	var mu sync.Mutex
	found := make(map[string]policies.Evidence, len(images))
	var failed []error
	var cold []render.Image
	for _, image := range images {
		if image.Digest == "" {
			continue
		}
		pinned := image.Pinned()
		if _, ok := found[pinned]; ok {
			continue
		}
		if e, ok := c.recall(image, trust); ok {
			found[pinned] = e
			continue
		}
		if !slices.ContainsFunc(cold, func(o render.Image) bool { return o.Pinned() == pinned }) {
			cold = append(cold, image)
		}
	}
	var g errgroup.Group
	g.SetLimit(c.options.Parallel)
	for _, image := range cold {
		g.Go(func() error {
			e, ok, err := c.once(ctx, image, trust)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failed = append(failed, &policies.Unavailable{Image: image.Pinned(), Err: err})
			case ok:
				found[image.Pinned()] = e
			}
			return nil
		})
	}
	_ = g.Wait()
	slices.SortFunc(failed, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return found, errors.Join(failed...)
}

// once looks at an image, together with everybody else who wants the same at
// this moment. The look has a deadline of its own and goes on when one of them
// gives up.
func (c *Collector) once(ctx context.Context, image render.Image, trust policies.Trust) (policies.Evidence, bool, error) {
	var keys []policies.Key
	for _, s := range trust.Signers(image.Repository) {
		if s.Key != nil {
			keys = append(keys, *s.Key)
		}
	}
	if len(keys) == 0 {
		return policies.Evidence{}, false, nil
	}
	key := cacheKey(image, trust)
	flight := c.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.options.Timeout)
		defer cancel()
		if e, ok := c.recall(image, trust); ok { // another flight ended just now
			return e, nil
		}
		e, err := c.look(ctx, image, trust, keys)
		if err == nil && trust.Satisfied(image.Repository, e, time.Now()) {
			c.remembered.Add(key, clone(e))
		}
		return e, err
	})
	select {
	case <-ctx.Done():
		return policies.Evidence{}, false, ctx.Err()
	case r := <-flight:
		if r.Err != nil {
			return policies.Evidence{}, false, r.Err
		}
		return clone(r.Val.(policies.Evidence)), true, nil
	}
}

// recall returns remembered evidence.
func (c *Collector) recall(image render.Image, trust policies.Trust) (policies.Evidence, bool) {
	v, ok := c.remembered.Get(cacheKey(image, trust))
	if !ok {
		return policies.Evidence{}, false
	}
	e := v.(policies.Evidence)
	if !trust.Satisfied(image.Repository, e, time.Now()) {
		return policies.Evidence{}, false
	}
	return clone(e), true
}

// cacheKey holds all that the evidence depends on: a look ends as soon as the
// rules are satisfied, so the same keys in other rules may need another look.
func cacheKey(image render.Image, trust policies.Trust) string {
	return image.Pinned() + " " + trust.Fingerprint(image.Repository)
}

// clone keeps what is remembered apart from what callers hold.
func clone(e policies.Evidence) policies.Evidence {
	e.Signatures = slices.Clone(e.Signatures)
	e.Rejected = slices.Clone(e.Rejected)
	return e
}
