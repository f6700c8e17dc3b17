package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/net/publicsuffix"
)

// guard stands between go-containerregistry and the network, and holds what
// must be true of each request, wherever a registry's answer sent it:
//
//   - plain HTTP only where it was allowed: the library falls back to it by
//     itself on private networks, where credentials would go in the clear;
//   - credentials to the registry they are for and its own token service;
//   - nothing at all to link-local addresses, where clouds keep their
//     metadata;
//   - a bounded answer, after a bounded number of redirects, which the library
//     leaves open.
type guard struct {
	registry *registry
	inner    http.RoundTripper
}

var (
	errPlainHTTP = errors.New("plain HTTP is not allowed for this registry")
	errTooLarge  = errors.New("the answer is larger than what is read")
	errRedirects = fmt.Errorf("it redirects more than %d times", maxRedirects)
	errForbidden = errors.New("link-local and metadata addresses are never asked")
)

const maxRedirects = 5

// errForeign is a sign-in that the registry sent elsewhere.
type errForeign struct{ host string }

func (e errForeign) Error() string {
	return fmt.Sprintf("it asks to be signed in to at %s, which gets no credentials; if that is its token service, list it as such in the agent's configuration", e.host)
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	own := req.URL.Host == g.registry.host
	switch {
	case redirects(req) > maxRedirects:
		return nil, errRedirects
	case own && g.registry.PlainHTTP && req.URL.Scheme == "https":
		// The library tries HTTPS first, whatever it is told.
		req = req.Clone(req.Context())
		req.URL.Scheme = "http"
	case req.URL.Scheme != "https" && !(own && g.registry.PlainHTTP):
		return nil, errPlainHTTP
	}
	if address, err := netip.ParseAddr(req.URL.Hostname()); err == nil && forbidden(address) {
		return nil, errForbidden // here too: a proxy would ask for us
	}
	if !own {
		var err error
		if req, err = g.abroad(req); err != nil {
			return nil, err
		}
	}
	resp, err := g.inner.RoundTrip(req)
	if err == nil {
		resp.Body = &bounded{ReadCloser: resp.Body, left: allowed(req.Context())}
	}
	return resp, err
}

// largeAnswer is the key of a request's own limit.
type largeAnswer struct{}

// allowing lets answers be as large as limit, and two bytes more: one shows
// that there is more, and the other that it was not the last.
func allowing(ctx context.Context, limit int64) context.Context {
	return context.WithValue(ctx, largeAnswer{}, max(limit+2, maxAnswer))
}

func allowed(ctx context.Context) int64 {
	if limit, ok := ctx.Value(largeAnswer{}).(int64); ok {
		return limit
	}
	return maxAnswer
}

// abroad is what may be sent to another host than the registry: a sign-in to
// its token service, and requests that tell nothing, which is how blobs are
// fetched from where the registry keeps them.
func (g *guard) abroad(req *http.Request) (*http.Request, error) {
	authorization := req.Header.Get("Authorization")
	signsIn := strings.HasPrefix(strings.ToLower(authorization), "basic ") || req.Method != http.MethodGet && req.Method != http.MethodHead
	switch {
	case signsIn && !g.registry.signsInAt(req.URL.Host):
		return nil, errForeign{req.URL.Host}
	case !signsIn && authorization != "":
		req = req.Clone(req.Context())
		req.Header.Del("Authorization")
	}
	return req, nil
}

// redirects counts those that led to a request.
func redirects(req *http.Request) int {
	n := 0
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
		n++
	}
	return n
}

// signsInAt tells whether a host may see the registry's credentials: one that
// was listed, or one under the same registered domain, as auth.docker.io is
// for index.docker.io. Another registry of ours is never one.
func (r *registry) signsInAt(host string) bool {
	if slices.Contains(r.TokenHosts, host) {
		return true
	}
	if r.isRegistry(host) {
		return false
	}
	there, _ := splitHost(host)
	here, _ := splitHost(r.host)
	if net.ParseIP(there) != nil || net.ParseIP(here) != nil {
		return false // an address says nothing about whose it is
	}
	theirs, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(there))
	if err != nil {
		return false
	}
	ours, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(here))
	return err == nil && ours == theirs
}

// Where clouds keep their metadata outside of the link-local ranges.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("168.63.129.16"),   // Azure
}

func forbidden(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || slices.Contains(metadata, a)
}

// refuseForbidden looks at the address that a name came out as, just before it
// is connected to.
func refuseForbidden(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || forbidden(to.Addr()) {
		return errForbidden
	}
	return nil
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
