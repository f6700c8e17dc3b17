// Package registry is a real OCI registry for tests, the demo and `make
// world`, over HTTP or HTTPS, with the referrers API, users with passwords or
// tokens, a request log and faults on demand. It keeps everything in memory.
package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Options are the server's; the zero value works.
type Options struct {
	// Addr is where Start listens; empty means 127.0.0.1:0.
	Addr string
	// Username and Password are asked for when set, for every request. Client
	// signs in with them, and they may do everything.
	Username, Password string
	// Users may sign in too.
	Users []User
	// Tokens has users sign in at a token service first, as most registries do.
	Tokens bool
	// TLS serves HTTPS with a certificate of a CA made for this server.
	TLS bool
	// WithoutReferrers is a registry that does not have the referrers API, as
	// ghcr.io: clients then keep the list in a tag of their own.
	WithoutReferrers bool
	// Clock dates the request log; nil means time.Now.
	Clock func() time.Time
}

// Registry serves until Close.
type Registry struct {
	options Options
	store   http.Handler // the registry itself: no auth, no log, no faults
	http    *http.Server
	host    string
	ca      *authority // nil without TLS

	mu        sync.Mutex
	requests  []Request
	faults    []*fault
	users     []User
	tokens    map[string]string // to the name of a user
	closed    chan struct{}
	closeOnce sync.Once
}

// Start makes a registry that listens until Close or the end of ctx.
func Start(ctx context.Context, options Options) (*Registry, error) {
	if options.Addr == "" {
		options.Addr = "127.0.0.1:0"
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	r := &Registry{options: options, closed: make(chan struct{})}
	r.SetUsers(options.Users...)
	if options.Username != "" {
		r.users = append(r.users, User{Name: options.Username, Password: options.Password})
	}
	r.store = registry.New(
		registry.Logger(log.New(io.Discard, "", 0)),
		registry.WithReferrersSupport(!options.WithoutReferrers),
	)
	listener, err := net.Listen("tcp", options.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the registry on %s: %w", options.Addr, err)
	}
	r.host = listener.Addr().String()
	r.http = &http.Server{
		Handler:           http.HandlerFunc(r.serve),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that do not know the CA are what tests want
	}
	if options.TLS {
		host, _, _ := net.SplitHostPort(r.host)
		if r.ca, err = newAuthority(host); err != nil {
			_ = listener.Close()
			return nil, fmt.Errorf("make certificates for the registry: %w", err)
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{r.ca.server}})
	}
	go func() { _ = r.http.Serve(listener) }()
	context.AfterFunc(ctx, func() { _ = r.Close() })
	return r, nil
}

// Host is what image references start with: 127.0.0.1:port.
func (r *Registry) Host() string { return r.host }

// URL is the root of the registry.
func (r *Registry) URL() string {
	if r.ca != nil {
		return "https://" + r.host
	}
	return "http://" + r.host
}

// CA is the certificate in PEM that clients must trust; nil without TLS.
func (r *Registry) CA() []byte {
	if r.ca == nil {
		return nil
	}
	return r.ca.pem
}

// Client are the options by which go-containerregistry may use this registry:
// its credentials and its CA.
func (r *Registry) Client() []remote.Option {
	var options []remote.Option
	if r.options.Username != "" {
		options = append(options, remote.WithAuth(&authn.Basic{Username: r.options.Username, Password: r.options.Password}))
	}
	if r.ca != nil {
		transport := remote.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: r.ca.pool}
		options = append(options, remote.WithTransport(transport))
	}
	return options
}

// Delete removes a tag or a digest from a repository. As with any registry,
// deleting a tag leaves the manifest, deleting a digest leaves its referrers.
func (r *Registry) Delete(repository, reference string) error {
	request, err := http.NewRequest(http.MethodDelete, "/v2/"+repository+"/manifests/"+reference, nil)
	if err != nil {
		return fmt.Errorf("delete %s of %s from the registry: %w", reference, repository, err)
	}
	answer := newHeld()
	r.store.ServeHTTP(answer, request)
	if answer.status != http.StatusAccepted {
		return fmt.Errorf("delete %s of %s from the registry: it answered %d %s", reference, repository, answer.status, answer.body.String())
	}
	return nil
}

// Close stops serving and drops open connections.
func (r *Registry) Close() error {
	var err error
	r.closeOnce.Do(func() {
		close(r.closed)
		err = r.http.Close()
	})
	return err
}

func (r *Registry) serve(w http.ResponseWriter, request *http.Request) {
	asked := parse(request, r.options.Clock())
	counted := &counting{ResponseWriter: w}
	defer func() {
		asked.Status = counted.status
		r.record(asked)
	}()

	if f := r.strike(asked); f != nil {
		var done bool
		if w, done = r.fail(counted, request, f); done {
			return
		}
	} else {
		w = counted
	}
	if request.URL.Path == "/token" && r.options.Tokens {
		r.serveToken(w, request)
		return
	}
	if !r.admit(w, request, asked) {
		return
	}
	if asked.Kind == Referrers && !r.options.WithoutReferrers && request.Method == http.MethodGet {
		r.serveReferrers(w, request)
		return
	}
	r.store.ServeHTTP(w, request)
}

// refuse answers in the form of the distribution specification.
func refuse(w http.ResponseWriter, status int, code, message string) {
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string][]problem{"errors": {{code, message}}})
}
