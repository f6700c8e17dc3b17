package cosign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/policies"
)

const (
	atOnce     = 8        // fetches of one image at the same time
	maxChunk   = 16 << 20 // bytes of one image that are held at the same time
	maxLarge   = 32 << 20 // and of all images; what is small is not counted
	smallChunk = 1 << 20
)

// blob is something to fetch.
type blob struct {
	what string // for messages
	v1.Descriptor
	largest int64
}

// each fetches the blobs, several at a time, and hands them on one by one and
// in their order, until there is enough. Its error is an outage.
func (l *looking) each(ctx context.Context, p place, blobs []blob, use func(blob, []byte)) error {
	for len(blobs) > 0 && !l.enough() {
		chunk, size := l.chunk(p, &blobs)
		if err := l.fetch(ctx, p, chunk, size, use); err != nil {
			return err
		}
	}
	return nil
}

// chunk takes the next blobs that are fetched together, and rejects those that
// are too large.
func (l *looking) chunk(p place, blobs *[]blob) (chunk []blob, size int64) {
	for len(*blobs) > 0 && len(chunk) < atOnce {
		b := (*blobs)[0]
		if b.Size < 0 || b.Size > b.largest {
			l.cut(p, fmt.Sprintf("%s: it is %d bytes large, and %d are read", b.what, b.Size, b.largest))
			*blobs = (*blobs)[1:]
			continue
		}
		if size > 0 && size+b.Size > maxChunk {
			break
		}
		*blobs = (*blobs)[1:]
		if !l.spend(b.Size) {
			l.cut(p, fmt.Sprintf("%s: all that this image has is more than the %d MiB that are read", b.what, maxTogether>>20))
			continue
		}
		chunk, size = append(chunk, b), size+b.Size
	}
	return chunk, size
}

func (l *looking) spend(n int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > l.left {
		return false
	}
	l.left -= n
	return true
}

func (l *looking) fetch(ctx context.Context, p place, chunk []blob, size int64, use func(blob, []byte)) error {
	if size > smallChunk {
		if err := l.large.Acquire(ctx, size); err != nil {
			return fmt.Errorf("wait for others to be done with their large attestations: %w", err)
		}
		defer l.large.Release(size)
	}
	fetched := make([][]byte, len(chunk))
	problems := make([]error, len(chunk))
	var g errgroup.Group
	for i, b := range chunk {
		g.Go(func() error {
			fetched[i], problems[i] = l.client.Blob(ctx, l.repo.Digest(b.Digest.String()), b.Size)
			return nil
		})
	}
	_ = g.Wait()
	for i, b := range chunk {
		if err := problems[i]; err != nil {
			if err := l.unless(err, p, b.what); err != nil && !l.enough() {
				return err
			}
			continue
		}
		// Whatever a stranger pushed, it ends here and not the agent.
		if err := guarded(func() { use(b, fetched[i]) }); err != nil {
			l.cut(p, fmt.Sprintf("%s: %v", b.what, err))
		}
		fetched[i] = nil // the next one may be large
	}
	return nil
}

// bundleBlobs are the bundles in the referrers' manifests: those that could be
// had, and an outage if there was one.
func (l *looking) bundleBlobs(ctx context.Context, listed []v1.Descriptor, largest int64) (out []blob, outage error) {
	layers := make([][]v1.Descriptor, len(listed))
	problems := make([]error, len(listed))
	var g errgroup.Group
	for i, referrer := range listed {
		g.Go(func() error {
			layers[i], problems[i] = l.layers(ctx, l.repo.Digest(referrer.Digest.String()))
			return nil
		})
	}
	_ = g.Wait()
	for i, referrer := range listed {
		what := "bundle " + short(referrer.Digest)
		if err := problems[i]; err != nil {
			if err := l.unless(err, referrers, what); err != nil {
				outage = err
			}
			continue
		}
		if len(layers[i]) == 1 && strings.HasPrefix(string(layers[i][0].MediaType), bundleType) { // else another kind of referrer
			out = append(out, blob{what: what, Descriptor: layers[i][0], largest: largest})
		}
	}
	return out, outage
}

// layers returns the layers of a small image, or none where there is no image.
func (l *looking) layers(ctx context.Context, ref name.Reference) ([]v1.Descriptor, error) {
	m, err := l.client.Manifest(ctx, ref)
	if errors.Is(err, oci.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(m.Bytes, &manifest); err != nil {
		return nil, fmt.Errorf("%w: its manifest cannot be read", oci.ErrInvalid)
	}
	return manifest.Layers, nil
}

// unless passes an outage on, and makes what is wrong or missing in the
// registry evidence that does not count.
func (l *looking) unless(err error, p place, what string) error {
	if errors.Is(err, oci.ErrInvalid) || errors.Is(err, oci.ErrNotFound) {
		l.cut(p, fmt.Sprintf("%s: %v", what, err))
		return nil
	}
	return err
}

func short(h v1.Hash) string { return policies.Clip(h.Hex, 12) }
