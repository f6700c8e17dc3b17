package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
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
	// Credentials are asked for each sign-in, so they may change; nil signs in
	// nowhere.
	Credentials func(context.Context) (Credentials, error)
}

// Credentials are a user and a password or token. They print as redacted.
type Credentials struct {
	Username string
	Password string
}

func (Credentials) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, "[redacted]") }
func (Credentials) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// registry is one registry, or all that are not named.
type registry struct {
	Registry
	host   string // in normal form; empty for all others
	puller *remote.Puller
	used   atomic.Pointer[Credentials] // last, to keep them out of errors
}

func newRegistry(o Registry) (*registry, error) {
	r := &registry{Registry: o}
	if o.Host != "" {
		n, err := name.NewRegistry(o.Host)
		if err != nil {
			return nil, errors.New("is no registry's name; write it as in \"ghcr.io\" or \"registry.acme.com:5000\"")
		}
		r.host = n.Name()
	}
	if o.PlainHTTP && len(o.CA) > 0 {
		return nil, errors.New("has a certificate authority and plain HTTP; choose one")
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
	}
	if len(o.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("its certificate authority holds no certificate in PEM")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	var err error
	r.puller, err = newPuller(&guard{registry: r, inner: transport}, keychain{r})
	return r, err
}

// guard bounds every answer, and keeps plain HTTP to where it was allowed:
// go-containerregistry falls back to it by itself on private networks, where
// the credentials would be sent in the clear.
type guard struct {
	registry *registry
	inner    http.RoundTripper
}

var errPlainHTTP = errors.New("plain HTTP is not allowed for this registry")

var errTooLarge = fmt.Errorf("the answer is larger than the %d MiB that are read", maxAnswer>>20)

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	own := g.registry.host != "" && req.URL.Host == g.registry.host
	switch {
	case own && g.registry.PlainHTTP && req.URL.Scheme == "https":
		// The library tries HTTPS first, whatever it is told.
		req = req.Clone(req.Context())
		req.URL.Scheme = "http"
	case req.URL.Scheme != "https" && !(own && g.registry.PlainHTTP):
		return nil, errPlainHTTP
	}
	resp, err := g.inner.RoundTrip(req)
	if err == nil {
		resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, err
}

type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// Also where exactly as much was sent: such an answer is too large.
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// keychain hands a registry's credentials to its own sign-in and to no other.
type keychain struct{ r *registry }

func (k keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	if k.r.Credentials == nil || target.RegistryStr() != k.r.host {
		return authn.Anonymous, nil
	}
	return k, nil
}

func (k keychain) Authorization() (*authn.AuthConfig, error) {
	return k.AuthorizationContext(context.Background())
}

func (k keychain) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	c, err := k.r.Credentials(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the credentials for %s: %w", k.r.host, err)
	}
	k.r.used.Store(&c)
	return &authn.AuthConfig{Username: c.Username, Password: c.Password}, nil
}
