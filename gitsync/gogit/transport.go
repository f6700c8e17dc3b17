package gogit

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// limitedTransport bounds every answer.
type limitedTransport struct {
	http.RoundTripper
	limits Limits
}

func newLimitedTransport(config *tls.Config, limits Limits) *limitedTransport {
	return &limitedTransport{limits: limits, RoundTripper: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       config,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       90 * time.Second,
	}}
}

func (t *limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch {
	case response.StatusCode/100 != 2:
		// Words for people; what is beyond the first few is of no use.
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, 1<<10), response.Body}
	case strings.HasSuffix(r.URL.Path, "/info/refs"):
		response.Body = &limitedBody{response.Body, t.limits.Refs, tooManyBytes(t.limits.Refs, "branches and tags")}
	default:
		response.Body = &limitedBody{response.Body, t.limits.Transfer, tooManyBytes(t.limits.Transfer, "transfer in one fetch")}
	}
	return response, nil
}

// stayOnHost refuses to be sent elsewhere. go-git would follow without the
// credentials, and read the branch from somewhere that nobody configured.
func stayOnHost(r *http.Request, via []*http.Request) error {
	if from := via[0].URL; r.URL.Host != from.Host {
		return fmt.Errorf("the server redirects to %s; if that is right, write its address as repository.url", r.URL.Host)
	}
	return nil
}
