package controlplane

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
)

// Faults are what an unreliable way does, each to so many of a hundred
// requests. The zero value lets everything through.
type Faults struct {
	// Refused are answered 429, 500 or 504 and never reach the API server.
	Refused int
	// Cut lose their connection before they reach it.
	Cut int
	// Lost reach it, and lose their connection before the answer.
	Lost int
	// Slow are held back for up to Latency, whatever becomes of them then.
	Slow    int
	Latency time.Duration
	// Gone are, of watches that go on from a version, told that it is forgotten.
	Gone int
	// WatchLife is how long a watch lives at most; 0 is as long as it likes.
	WatchLife time.Duration
}

// Unreliable is a way to the API server that cannot be relied on. What goes
// wrong is drawn from a seed, in the order in which requests arrive.
type Unreliable struct {
	// Before, if set, is called with each request before it is passed on, and
	// Lose says whose answer is lost, besides Faults. Set them before the first
	// request.
	Before func(*http.Request)
	Lose   func(*http.Request) bool

	server   *http.Server
	listener net.Listener
	ca       []byte
	// known passes on who a token says it is, and others speaks for clients that
	// bring none, as the administrator.
	known, others *httputil.ReverseProxy

	mu       sync.Mutex
	draw     *rand.Rand
	faults   Faults
	requests int
	gate     chan struct{} // closed: watches tell what they see
}

// Unreliable opens such a way, until Close.
func (cp *ControlPlane) Unreliable(seed uint64) (*Unreliable, error) {
	access, err := cp.RESTConfig()
	if err != nil {
		return nil, err
	}
	to, err := url.Parse(access.Host)
	if err != nil {
		return nil, err
	}
	u := &Unreliable{draw: rand.New(rand.NewPCG(seed, 109)), gate: make(chan struct{})}
	close(u.gate)
	if u.others, err = u.proxy(to, access); err != nil {
		return nil, err
	}
	if u.known, err = u.proxy(to, rest.AnonymousClientConfig(access)); err != nil {
		return nil, err
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for a way to the API server: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	u.ca = certificate
	if u.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	u.server = &http.Server{
		Handler: u, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		ErrorLog: log.New(io.Discard, "", 0), // it is meant to go wrong
	}
	go func() { _ = u.server.ServeTLS(u.listener, "", "") }()
	return u, nil
}

// Config leads through it: for a config with a token as whom that says, else as
// the administrator.
func (u *Unreliable) Config(like *rest.Config) *rest.Config {
	config := rest.CopyConfig(like)
	config.Host = "https://" + u.listener.Addr().String()
	config.TLSClientConfig = rest.TLSClientConfig{CAData: u.ca}
	return config
}

// CA is the authority of its certificate, in PEM.
func (u *Unreliable) CA() []byte { return u.ca }

// Addr is where it listens.
func (u *Unreliable) Addr() string { return u.listener.Addr().String() }

// Set changes what goes wrong from now on.
func (u *Unreliable) Set(f Faults) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults = f
}

// Requests are how many came so far, whatever became of them.
func (u *Unreliable) Requests() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests
}

// HoldWatches keeps back what watches see until release: who relies on
// them has an old view.
func (u *Unreliable) HoldWatches() (release func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	gate := make(chan struct{})
	u.gate = gate
	return sync.OnceFunc(func() { close(gate) })
}

// Close ends it.
func (u *Unreliable) Close() error { return u.server.Close() }

// fate is what becomes of one request.
type fate struct {
	delay           time.Duration
	status          int
	cut, lost, gone bool
	watchLife       time.Duration
}

func (u *Unreliable) fate(r *http.Request) fate {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests++
	of := func(share int) bool { return u.draw.IntN(100) < share }
	var f fate
	if of(u.faults.Slow) {
		f.delay = time.Duration(u.draw.Int64N(int64(u.faults.Latency) + 1))
	}
	if of(u.faults.Refused) {
		f.status = []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusGatewayTimeout}[u.draw.IntN(3)]
	}
	f.cut, f.lost = of(u.faults.Cut), of(u.faults.Lost)
	if !watches(r) {
		return f
	}
	f.gone = of(u.faults.Gone) && r.URL.Query().Get("resourceVersion") != "" && !r.URL.Query().Has("sendInitialEvents")
	if u.faults.WatchLife > 0 {
		f.watchLife = time.Duration(u.draw.Int64N(int64(u.faults.WatchLife))) + time.Millisecond
	}
	return f
}

func watches(r *http.Request) bool { return r.URL.Query().Has("watch") }

// lost is the context's key for a request whose answer does not arrive.
type lost struct{}

var errLost = errors.New("the answer is lost")

func (u *Unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := u.fate(r)
	ctx := r.Context()
	select {
	case <-time.After(f.delay):
	case <-ctx.Done():
	}
	switch {
	case f.cut:
		panic(http.ErrAbortHandler)
	case f.status != 0:
		refuse(w, f.status)
		return
	case f.gone:
		expired := metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Code: http.StatusGone, Message: "too old resource version"}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"type": "ERROR", "object": expired})
		return
	case f.lost || u.Lose != nil && u.Lose(r):
		ctx = context.WithValue(ctx, lost{}, true)
	}
	if f.watchLife > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.watchLife)
		defer cancel()
	}
	if u.Before != nil {
		u.Before(r)
	}
	proxy := u.others
	if r.Header.Get("Authorization") != "" {
		proxy = u.known
	}
	proxy.ServeHTTP(w, r.WithContext(ctx))
}

// refuse answers as an API server that is overloaded or broken.
func refuse(w http.ResponseWriter, code int) {
	if code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Message: "the way to the API server is unreliable",
	})
}

func (u *Unreliable) proxy(to *url.URL, access *rest.Config) (*httputil.ReverseProxy, error) {
	transport, err := rest.TransportFor(access)
	if err != nil {
		return nil, fmt.Errorf("open a way to the API server: %w", err)
	}
	return &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = to.Host
		},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Context().Value(lost{}) != nil {
				_ = r.Body.Close()
				return errLost
			}
			if watches(r.Request) {
				r.Body = &heldBody{r.Body, r.Request.Context(), u}
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}, nil
}

// heldBody hands over what a watch sees when the gate is open.
type heldBody struct {
	io.ReadCloser
	ctx context.Context
	u   *Unreliable
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.u.mu.Lock()
	gate := b.u.gate
	b.u.mu.Unlock()
	select {
	case <-gate:
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
	return n, err
}
