package oci

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Registry says how one registry is reached.
type Registry struct {
	// Host is its name, with the port where it has one: "ghcr.io".
	Host string
	// PlainHTTP speaks HTTP without TLS. Without it a registry is never asked
	// without TLS, not even on a private network or this machine.
	PlainHTTP bool
	// CA is PEM of certificate authorities to trust beside the system's.
	CA []byte
	// Credentials are the registry's own, and come before those of
	// Options.DockerConfig. They are asked for again after a while and when the
	// registry refuses them, so they may change; nil leaves it to the Docker
	// configuration.
	Credentials func(context.Context) (Credentials, error)
	// TokenHosts may see the credentials too, where the registry's token
	// service has another domain: "auth.acme.com".
	TokenHosts []string
	// Mirrors are asked before the registry itself, in this order.
	Mirrors []Mirror
	// Timeout bounds one request with all that belongs to it, such as signing
	// in and trying again; 30 s if zero.
	Timeout time.Duration
}

const defaultTimeout = 30 * time.Second

// registry is one registry as it is reached.
type registry struct {
	Registry
	host       string  // in normal form
	keys       *source // nil signs in nowhere
	mirrors    []*mirror
	transport  http.RoundTripper
	isRegistry func(host string) bool // whether it is one that has options

	mu      sync.Mutex
	pullers map[string]signedIn // by repository
}

// signedIn is what a repository was last read with.
type signedIn struct {
	Credentials
	puller *remote.Puller
}

// normalHost is the name by which a registry is known here.
func normalHost(host string) (string, error) {
	n, err := name.NewRegistry(host)
	if host == "" || err != nil || checkHost(n.Name()) != nil {
		return "", errors.New("is no registry's name; write it as in \"ghcr.io\" or \"registry.acme.com:5000\"")
	}
	return n.Name(), nil
}

func newRegistry(o Registry, host string) (*registry, error) {
	r := &registry{Registry: o, host: host, pullers: map[string]signedIn{}}
	if o.PlainHTTP && len(o.CA) > 0 {
		return nil, errors.New("has a certificate authority and plain HTTP; choose one")
	}
	if o.Timeout < 0 {
		return nil, errors.New("has a negative timeout")
	}
	var pool *x509.CertPool
	if len(o.CA) > 0 {
		var err error
		if pool, err = x509.SystemCertPool(); err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("its certificate authority holds no certificate in PEM")
		}
	}
	r.transport = &guard{registry: r, inner: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{
			Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: refuseForbidden,
		}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
	}}
	return r, nil
}

// request is one question, which can be put to a registry or to its mirror.
type request[T any] func(ctx context.Context, p *remote.Puller, at name.Repository) (T, error)

// put asks one registry, signed in with each of the credentials that there are
// for the repository until one is let in. When none is, they are read again:
// they may have been replaced.
func put[T any](ctx context.Context, r *registry, at name.Repository, doing string, f request[T]) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.Timeout, defaultTimeout))
	defer cancel()
	var zero T
	var last error
	var tried []Credentials
	for reading := 0; ; reading++ {
		candidates, number, err := r.credentials(ctx, at, reading)
		if err != nil {
			return zero, r.explain(ctx, doing, tried, err)
		}
		reading = number
		news := false
		for _, c := range candidates {
			if slices.Contains(tried, c) {
				continue
			}
			news, tried = true, append(tried, c)
			v, err := call(ctx, r, at, c, f)
			if err == nil {
				return v, nil
			}
			if last = err; !refused(err) {
				return zero, r.explain(ctx, doing, tried, err)
			}
		}
		if !news || r.keys == nil {
			return zero, r.explain(ctx, doing, tried, last)
		}
	}
}

// credentials are those to try for a repository, by a reading of at least that
// number. Those that were let in last come first; none are the empty ones.
func (r *registry) credentials(ctx context.Context, at name.Repository, reading int) ([]Credentials, int, error) {
	if r.keys == nil {
		return []Credentials{{}}, reading, nil
	}
	ring, number, err := r.keys.get(ctx, reading)
	if err != nil {
		return nil, 0, fmt.Errorf("read the credentials for %s: %w", r.host, err)
	}
	found := slices.Clone(ring.For(at))
	if len(found) == 0 {
		found = []Credentials{{}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, ok := r.pullers[at.Name()]; ok {
		if i := slices.Index(found, before.Credentials); i > 0 {
			found[0], found[i] = found[i], found[0]
		}
	}
	return found, number, nil
}

// call asks signed in as that. A refusal of one that was let in before may be
// of how it signed in, which a registry may change: that is found out anew.
func call[T any](ctx context.Context, r *registry, at name.Repository, c Credentials, f request[T]) (T, error) {
	for again := false; ; again = true {
		puller, known, err := r.puller(at, c)
		if err != nil {
			var zero T
			return zero, err
		}
		v, err := patiently(ctx, puller, at, f)
		if !refused(err) {
			return v, err
		}
		r.forget(at, puller)
		if !known || again {
			return v, err
		}
	}
}

// patiently asks again when another caller, who waited for the same sign-in,
// gave up and ended it for all.
func patiently[T any](ctx context.Context, puller *remote.Puller, at name.Repository, f request[T]) (v T, err error) {
	for range 3 {
		v, err = f(ctx, puller, at)
		if ctx.Err() != nil || !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return v, err
}

func (r *registry) forget(at name.Repository, puller *remote.Puller) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pullers[at.Name()].puller == puller {
		delete(r.pullers, at.Name())
	}
}

func (r *registry) puller(at name.Repository, c Credentials) (_ *remote.Puller, known bool, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.pullers[at.Name()]; ok && known.Credentials == c {
		return known.puller, true, nil
	}
	auth := authn.Anonymous
	if c != (Credentials{}) {
		auth = authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password})
	}
	puller, err := remote.NewPuller(
		remote.WithTransport(r.transport),
		remote.WithAuth(auth),
		remote.WithUserAgent("pawl"),
		// Blips only; the agent itself tries again after longer outages.
		remote.WithRetryBackoff(remote.Backoff{Duration: 50 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: 3}),
	)
	if err == nil {
		r.pullers[at.Name()] = signedIn{c, puller}
	}
	return puller, false, err
}

// refused is an answer that other credentials might change.
func refused(err error) bool {
	answer := (*transport.Error)(nil)
	return errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden)
}
