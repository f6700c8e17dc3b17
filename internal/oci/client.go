// Package oci reads from OCI registries for those who look for signatures and
// for tags. It adds to go-containerregistry what an agent that reads
// strangers' registries needs: every answer is bounded and checked against its
// digest, credentials go to whom they are for, mirrors are asked first and not
// believed, plain HTTP only where it was allowed, and errors that tell absence
// from outage and never hold a credential.
package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Limits of what is read. No image layer is ever fetched: manifests,
// signatures and configurations are small.
const (
	maxAnswer = 8 << 20 // of any one answer, unless a larger blob is asked for
	maxPages  = 200     // of a list of tags
)

// Options of a Client; the zero value asks everybody by HTTPS and anonymously.
type Options struct {
	// Registries are those that are reached in a special way.
	Registries []Registry
	// DockerConfig reads credentials for any registry, in the form of
	// kubernetes.io/dockerconfigjson: from a file, or from a Secret. It is asked
	// again after a while, and when a registry refuses what it gave.
	DockerConfig func(context.Context) ([]byte, error)
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// Client reads from any registry. It is safe for concurrent use, and meant to
// be shared: connections and tokens are kept.
type Client struct {
	*registries
	originOnly bool
}

// registries are all that were asked so far.
type registries struct {
	options  Options
	settings map[string]Registry // by normal host
	docker   *source             // nil without a Docker configuration

	mu   sync.Mutex
	open map[string]*registry
}

// NewClient is New with nothing but registries.
func NewClient(list ...Registry) (*Client, error) { return New(Options{Registries: list}) }

// New checks the options and says all that is wrong with them.
func New(o Options) (*Client, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	c := &Client{registries: &registries{options: o, settings: map[string]Registry{}, open: map[string]*registry{}}}
	if o.DockerConfig != nil {
		c.docker = newSource(func(ctx context.Context) (keyring, error) {
			text, err := o.DockerConfig(ctx)
			if err != nil {
				return nil, err
			}
			return ParseDockerConfig(text)
		}, o.Clock)
	}
	var problems []error
	for i, r := range o.Registries {
		host, err := normalHost(r.Host)
		if err == nil {
			if _, twice := c.settings[host]; twice {
				err = errors.New("is listed twice")
			}
		}
		if err == nil {
			_, err = newRegistry(r, host)
		}
		if err == nil {
			err = checkMirrors(host, r.Mirrors)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("registries[%d] %q: %w", i, r.Host, err))
			continue
		}
		c.settings[host] = r
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return c, nil
}

// Origin is a client that asks no mirrors but those that have all there is,
// and otherwise shares everything with this one. It is for a second look: a
// mirror may have a list that was longer since.
func (c *Client) Origin() *Client { return &Client{registries: c.registries, originOnly: true} }

// Repository parses the name of a repository, "ghcr.io/acme/web". Names that
// could be read as another one are refused.
func (c *Client) Repository(s string) (name.Repository, error) {
	repo, err := name.NewRepository(s)
	if err == nil {
		err = checkName(repo)
	}
	if err != nil {
		return name.Repository{}, fmt.Errorf("%q is no repository: %w", s, err)
	}
	return c.reached(repo)
}

// reached is the repository with how its registry is reached in it.
func (c *registries) reached(repo name.Repository) (name.Repository, error) {
	if !c.settings[repo.RegistryStr()].PlainHTTP {
		return repo, nil
	}
	registry, err := name.NewRegistry(repo.RegistryStr(), name.Insecure)
	return registry.Repo(repo.RepositoryStr()), err
}

// registry is the one of a host, with or without options.
func (c *registries) registry(host string) (*registry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.open[host]; ok {
		return r, nil
	}
	r, err := newRegistry(c.settings[host], host)
	if err != nil {
		return nil, err
	}
	r.isRegistry = func(host string) bool { _, ok := c.settings[host]; return ok }
	r.keys = c.docker
	if r.Credentials != nil {
		r.keys = newSource(func(ctx context.Context) (keyring, error) {
			own, err := r.Credentials(ctx)
			return only(own), err
		}, c.options.Clock)
	}
	for _, m := range r.Mirrors {
		r.mirrors = append(r.mirrors, &mirror{Mirror: m, now: c.options.Clock})
	}
	c.open[host] = r
	return r, nil
}

// Manifest fetches the manifest of a tag, or of a digest: then it is one whose
// bytes have that digest, or an error.
func (c *Client) Manifest(ctx context.Context, ref name.Reference) (Manifest, error) {
	doing := "fetch the manifest of " + ref.Name()
	want, byDigest := ref.(name.Digest)
	return ask(ctx, c, ref.Context(), aspectOf(ref), doing, func(ctx context.Context, p *remote.Puller, at name.Repository) (Manifest, error) {
		algorithm := "sha256"
		if byDigest {
			h, err := v1.NewHash(want.DigestStr())
			if err != nil {
				return Manifest{}, invalid(at, doing, "was not asked: the digest is none")
			}
			algorithm = h.Algorithm
		}
		d, err := p.Get(ctx, move(ref, at))
		if err != nil {
			return Manifest{}, err
		}
		// Computed here too: for one old media type the library believes a header.
		digest, err := hash(algorithm, d.Manifest)
		if err != nil {
			return Manifest{}, err
		}
		if byDigest && want.DigestStr() != digest.String() {
			return Manifest{}, invalid(at, doing, "serves other bytes under this digest")
		}
		return Manifest{Digest: digest, MediaType: d.MediaType, Bytes: d.Manifest}, nil
	})
}

// Claim is the digest that the registry says a tag has. It is cheap and does
// not count against pull limits, but nothing vouches for it.
func (c *Client) Claim(ctx context.Context, ref name.Tag) (v1.Hash, error) {
	return ask(ctx, c, ref.Context(), aspectOf(ref), "look up "+ref.Name(), func(ctx context.Context, p *remote.Puller, at name.Repository) (v1.Hash, error) {
		d, err := p.Head(ctx, move(ref, at))
		if err != nil {
			return v1.Hash{}, err
		}
		return d.Digest, nil
	})
}

// Blob fetches a blob of at most limit bytes and checks its digest.
func (c *Client) Blob(ctx context.Context, ref name.Digest, limit int64) ([]byte, error) {
	doing := "fetch " + ref.Name()
	ctx = allowing(ctx, limit)
	return ask(ctx, c, ref.Context(), content, doing, func(ctx context.Context, p *remote.Puller, at name.Repository) ([]byte, error) {
		layer, err := p.Layer(ctx, at.Digest(ref.DigestStr()))
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
			err = invalid(at, doing, fmt.Sprintf("serves more than the %d bytes that are read", limit))
		}
		return b, err
	})
}

// Referrers lists what refers to a digest, by the referrers API or, where the
// registry has none, by its fallback tag.
func (c *Client) Referrers(ctx context.Context, ref name.Digest) ([]v1.Descriptor, error) {
	doing := "list the referrers of " + ref.Name()
	list, err := ask(ctx, c, ref.Context(), signatures, doing, func(ctx context.Context, p *remote.Puller, at name.Repository) ([]v1.Descriptor, error) {
		index, err := remote.Referrers(at.Digest(ref.DigestStr()), remote.Reuse(p), remote.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		m, err := index.IndexManifest()
		if err != nil {
			return nil, invalid(at, doing, "serves a list that cannot be read")
		}
		if len(m.Manifests) == 0 {
			return nil, errNothing // which of a mirror is no answer
		}
		return m.Manifests, nil
	})
	if errors.Is(err, errNothing) {
		return nil, nil
	}
	return list, err
}

// Tags lists the tags of a repository.
func (c *Client) Tags(ctx context.Context, repo name.Repository) ([]string, error) {
	doing := "list the tags of " + repo.Name()
	return ask(ctx, c, repo, tags, doing, func(ctx context.Context, p *remote.Puller, at name.Repository) ([]string, error) {
		lister, err := p.Lister(ctx, at)
		if err != nil {
			return nil, err
		}
		var found []string
		for pages := 0; lister.HasNext(); pages++ {
			if pages == maxPages {
				return nil, invalid(at, doing, fmt.Sprintf("lists tags on more than the %d pages that are read", maxPages))
			}
			page, err := lister.Next(ctx)
			if err != nil {
				return nil, err
			}
			found = append(found, page.Tags...)
		}
		return found, nil
	})
}
