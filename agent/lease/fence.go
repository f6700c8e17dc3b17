package lease

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Fence stands between the agent and whatever it writes to. It is closed until
// a term opens it, and again when that term is over. It looks twice: at each
// request, for an error that says what happened, and at each write to a
// connection, because a process may be frozen between the two.
type Fence struct{ term atomic.Pointer[Term] }

// Open lets requests through for as long as the term lasts.
func (f *Fence) Open(t *Term) { f.term.Store(t) }

// Check reports whether something may be sent now: nil or *Lost.
func (f *Fence) Check() error {
	if t := f.term.Load(); t != nil {
		return t.Check()
	}
	return &Lost{}
}

// Transport carries requests only while they may be sent, reading ones too: a
// replica that stands by asks nothing.
func (f *Fence) Transport(next http.RoundTripper) http.RoundTripper {
	return &transport{f, next}
}

type transport struct {
	fence *Fence
	next  http.RoundTripper
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.fence.Check(); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return t.next.RoundTrip(r)
}

// WrappedRoundTripper lets client-go find what is inside.
func (t *transport) WrappedRoundTripper() http.RoundTripper { return t.next }

// DialContext is net.Dialer's, with connections that send only while they may.
func (f *Fence) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &conn{c, f}, nil
}

type conn struct {
	net.Conn
	fence *Fence
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.fence.Check(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
