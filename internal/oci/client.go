// Package oci reads from OCI registries for those who look for signatures and
// for tags. It adds to go-containerregistry what an agent that reads
// strangers' registries needs: every answer is bounded and checked against its
// digest, plain HTTP only where it was allowed, and errors that tell absence
// from outage and never hold a credential.
package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Limits of what is read. No image layer is ever fetched: manifests,
// signatures and configurations are small.
const (
	maxAnswer = 8 << 20 // of any one answer
	maxPages  = 200     // of a list of tags
)

// Client reads from any registry, those of its options in the way they say,
// others by HTTPS and anonymously. It is safe for concurrent use, and meant to
// be shared: connections and tokens are kept.
type Client struct {
	registries map[string]*registry
	others     *registry
}

// NewClient checks the options. Two of them for one host are an error.
func NewClient(registries ...Registry) (*Client, error) {
	c := &Client{registries: map[string]*registry{}}
	var problems []error
	for i, o := range registries {
		r, err := newRegistry(o)
		if err == nil && c.registries[r.host] != nil {
			err = fmt.Errorf("is listed twice")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("registries[%d] %q: %w", i, o.Host, err))
			continue
		}
		c.registries[r.host] = r
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	var err error
	c.others, err = newRegistry(Registry{})
	return c, err
}

// Repository parses the name of a repository, "ghcr.io/acme/web".
func (c *Client) Repository(s string) (name.Repository, error) {
	repo, err := name.NewRepository(s)
	if err != nil {
		return name.Repository{}, fmt.Errorf("%q is no repository: %w", s, err)
	}
	if c.registry(repo.RegistryStr()).PlainHTTP {
		repo, err = name.NewRepository(s, name.Insecure)
	}
	return repo, err
}

func (c *Client) registry(host string) *registry {
	if r, ok := c.registries[host]; ok {
		return r
	}
	return c.others
}

// Manifest is a manifest as the registry served it.
type Manifest struct {
	// Digest is computed from Bytes, whatever the registry's headers say.
	Digest    v1.Hash
	MediaType types.MediaType
	Bytes     []byte
}

// Manifest fetches the manifest of a tag, or of a digest: then it is one whose
// bytes have that digest, or an error.
func (c *Client) Manifest(ctx context.Context, ref name.Reference) (Manifest, error) {
	d, err := ask(ctx, c, ref.Context(), "fetch the manifest of "+ref.Name(), func(ctx context.Context, p *remote.Puller) (*remote.Descriptor, error) {
		return p.Get(ctx, ref)
	})
	if err != nil {
		return Manifest{}, err
	}
	// Computed here too: for one old media type the library believes a header.
	digest, _, err := v1.SHA256(bytes.NewReader(d.Manifest))
	if err != nil {
		return Manifest{}, err
	}
	if want, ok := ref.(name.Digest); ok && want.DigestStr() != digest.String() {
		return Manifest{}, invalid(ref.Context(), "fetch the manifest of "+ref.Name(), "serves other bytes under this digest")
	}
	return Manifest{Digest: digest, MediaType: d.MediaType, Bytes: d.Manifest}, nil
}

// Claim is the digest that the registry says a tag has. It is cheap and does
// not count against pull limits, but nothing vouches for it.
func (c *Client) Claim(ctx context.Context, ref name.Tag) (v1.Hash, error) {
	d, err := ask(ctx, c, ref.Context(), "look up "+ref.Name(), func(ctx context.Context, p *remote.Puller) (*v1.Descriptor, error) {
		return p.Head(ctx, ref)
	})
	if err != nil {
		return v1.Hash{}, err
	}
	return d.Digest, nil
}

// Blob fetches a blob of at most limit bytes and checks its digest.
func (c *Client) Blob(ctx context.Context, ref name.Digest, limit int64) ([]byte, error) {
	doing := "fetch " + ref.Name()
	return ask(ctx, c, ref.Context(), doing, func(ctx context.Context, p *remote.Puller) ([]byte, error) {
		layer, err := p.Layer(ctx, ref)
		if err != nil {
			return nil, err
		}
		r, err := layer.Compressed() // as it is stored, whatever that is
		if err != nil {
			return nil, err
		}
		defer r.Close()
		b, err := io.ReadAll(io.LimitReader(r, limit+1))
		if err == nil && int64(len(b)) > limit {
			err = invalid(ref.Context(), doing, fmt.Sprintf("serves more than the %d bytes that are read", limit))
		}
		return b, err
	})
}

// Referrers lists what refers to a digest, by the referrers API or, where the
// registry has none, by its fallback tag.
func (c *Client) Referrers(ctx context.Context, ref name.Digest) ([]v1.Descriptor, error) {
	doing := "list the referrers of " + ref.Name()
	return ask(ctx, c, ref.Context(), doing, func(ctx context.Context, p *remote.Puller) ([]v1.Descriptor, error) {
		index, err := remote.Referrers(ref, remote.Reuse(p), remote.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		m, err := index.IndexManifest()
		if err != nil {
			return nil, invalid(ref.Context(), doing, "serves a list that cannot be read")
		}
		return m.Manifests, nil
	})
}

// Tags lists the tags of a repository.
func (c *Client) Tags(ctx context.Context, repo name.Repository) ([]string, error) {
	doing := "list the tags of " + repo.Name()
	return ask(ctx, c, repo, doing, func(ctx context.Context, p *remote.Puller) ([]string, error) {
		lister, err := p.Lister(ctx, repo)
		if err != nil {
			return nil, err
		}
		var tags []string
		for pages := 0; lister.HasNext(); pages++ {
			if pages == maxPages {
				return nil, invalid(repo, doing, fmt.Sprintf("lists tags on more than the %d pages that are read", maxPages))
			}
			page, err := lister.Next(ctx)
			if err != nil {
				return nil, err
			}
			tags = append(tags, page.Tags...)
		}
		return tags, nil
	})
}

// ask runs one request and makes its error one of ours. Several callers may
// wait for the same sign-in; where another one's context ended it, it is tried
// again for this one.
func ask[T any](ctx context.Context, c *Client, repo name.Repository, doing string, f func(context.Context, *remote.Puller) (T, error)) (T, error) {
	r := c.registry(repo.RegistryStr())
	var v T
	var err error
	for range 3 {
		v, err = f(ctx, r.puller)
		if ctx.Err() != nil || !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	if err == nil {
		return v, nil
	}
	var zero T
	return zero, r.explain(ctx, repo, doing, err)
}

// Kind is what a manifest is.
type Kind string

const (
	Image Kind = "image"
	Index Kind = "index"
)

// Kind tells what the manifest is. One that could be read as both is an error:
// a client that reads it the other way would run something else.
func (m Manifest) Kind() (Kind, error) {
	var f struct {
		MediaType types.MediaType `json:"mediaType"`
		Config    json.RawMessage `json:"config"`
		Layers    json.RawMessage `json:"layers"`
		FSLayers  json.RawMessage `json:"fsLayers"`
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(m.Bytes, &f); err != nil {
		return "", errors.New("is no manifest: not JSON")
	}
	if f.MediaType != "" && f.MediaType != m.MediaType {
		return "", fmt.Errorf("is ambiguous: served as %q, and calls itself %q", m.MediaType, f.MediaType)
	}
	image, index := f.Config != nil || f.Layers != nil, f.Manifests != nil
	switch {
	case f.FSLayers != nil || image && index:
		return "", errors.New("is ambiguous: it can be read as an image and as an index")
	case image && slices.Contains([]types.MediaType{types.OCIManifestSchema1, types.DockerManifestSchema2}, m.MediaType):
		return Image, nil
	case index && slices.Contains([]types.MediaType{types.OCIImageIndex, types.DockerManifestList}, m.MediaType):
		return Index, nil
	}
	return "", fmt.Errorf("is neither an image nor an index (%q)", m.MediaType)
}

func newPuller(transport http.RoundTripper, keychain authn.Keychain) (*remote.Puller, error) {
	return remote.NewPuller(
		remote.WithTransport(transport),
		remote.WithAuthFromKeychain(keychain),
		remote.WithUserAgent("pawl"),
		// Blips only; the agent itself tries again after longer outages.
		remote.WithRetryBackoff(remote.Backoff{Duration: 50 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: 3}),
	)
}
