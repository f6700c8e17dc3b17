package github

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// transport is what go-github lacks: 429 is a rate limit as 403 is, limits are
// kept by silence, unchanged answers come from memory, writes go one by one as
// GitHub asks, and no credentials come back in an error.
type transport struct {
	next    http.RoundTripper
	now     func() time.Time
	observe func(Exchange)
	cache   *cache
	writing chan struct{} // holds one write

	mu        sync.Mutex
	until     time.Time // nothing is sent before
	secondary bool
	// strikes counts secondary limits in a row that named no time.
	strikes int
}

func newTransport(o Options) *transport {
	observe := o.Observe
	if observe == nil {
		observe = func(Exchange) {}
	}
	return &transport{next: o.Transport, now: o.Now, observe: observe, cache: newCache(), writing: make(chan struct{}, 1)}
}

// limited says until when GitHub wants silence.
type limited struct {
	until     time.Time
	secondary bool
}

func (l *limited) Error() string {
	return "GitHub's rate limit is reached until " + l.until.UTC().Format(time.RFC3339)
}

const (
	shortestSilence = time.Minute
	longestSilence  = time.Hour + time.Minute
	// errorBody is how much of an error's body is read.
	errorBody = 64 << 10
)

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !read {
		select {
		case t.writing <- struct{}{}:
			defer func() { <-t.writing }()
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	// Asked only now: the write before this one may have met a limit.
	if l := t.silence(); l != nil {
		return nil, l
	}
	key := ""
	if r.Method == http.MethodGet {
		key = r.URL.String() + " " + r.Header.Get("Accept")
		if etag := t.cache.etag(key); etag != "" {
			r = r.Clone(r.Context())
			r.Header.Set("If-None-Match", etag)
		}
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		t.observe(Exchange{Method: r.Method, Remaining: -1})
		return nil, err
	}
	t.observe(Exchange{
		Method: r.Method, Status: resp.StatusCode, Cached: resp.StatusCode == http.StatusNotModified,
		Remaining: number(resp.Header, "X-RateLimit-Remaining", -1),
	})
	if resp.StatusCode >= 400 {
		return t.refused(r, resp)
	}
	t.fine(resp.Header)
	// Left in, go-github would refuse requests by its own clock.
	resp.Header.Del("X-RateLimit-Reset")
	if key != "" {
		return t.cache.through(key, resp)
	}
	return resp, nil
}

// silence is the limit that is in force.
func (t *transport) silence() *limited {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now().Before(t.until) {
		return &limited{until: t.until, secondary: t.secondary}
	}
	return nil
}

// fine takes in an answer that is none of refusal. The one that uses up the
// quota starts the silence: the next one would only be refused.
func (t *transport) fine(h http.Header) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.strikes = 0
	if reset := number(h, "X-RateLimit-Reset", 0); reset > 0 && number(h, "X-RateLimit-Remaining", -1) == 0 {
		t.keep(time.Unix(int64(reset), 0), false)
	}
}

func (t *transport) keep(until time.Time, secondary bool) {
	if latest := t.now().Add(longestSilence); until.After(latest) {
		until = latest // an absurd time must not silence us for good
	}
	if until.After(t.until) {
		t.until, t.secondary = until, secondary
	}
}

// refused reads an error's body, takes credentials out of it, and recognises
// limits.
func (t *transport) refused(r *http.Request, resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, errorBody))
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read GitHub's answer %d: %w", resp.StatusCode, err)
	}
	if _, secret, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && secret != "" {
		body = bytes.ReplaceAll(body, []byte(secret), []byte("[redacted]"))
	}
	if l := t.limit(resp, body); l != nil {
		return nil, l
	}
	resp.Header.Del("X-RateLimit-Reset")
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return resp, nil
}

// limit recognises a refusal for asking too much or too fast, and from when on
// requests may be sent again.
func (t *transport) limit(resp *http.Response, body []byte) *limited {
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusTooManyRequests {
		return nil
	}
	after := number(resp.Header, "Retry-After", -1)
	usedUp := number(resp.Header, "X-RateLimit-Remaining", -1) == 0
	burst := bytes.Contains(body, []byte("secondary rate limit")) || bytes.Contains(body, []byte("secondary-rate-limits")) ||
		bytes.Contains(body, []byte("abuse"))
	if resp.StatusCode == http.StatusForbidden && after < 0 && !usedUp && !burst {
		return nil // a permission is missing
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	reset := number(resp.Header, "X-RateLimit-Reset", 0)
	switch {
	case after >= 0:
		t.keep(now.Add(time.Duration(after)*time.Second), burst || !usedUp)
	case usedUp && reset > 0 && !burst:
		t.keep(time.Unix(int64(reset), 0), false)
	default:
		t.keep(now.Add(shortestSilence<<min(t.strikes, 6)), true)
		t.strikes++
	}
	if !t.until.After(now) {
		t.until = now.Add(time.Second) // "try again after 0 seconds"
	}
	return &limited{until: t.until, secondary: t.secondary}
}

func number(h http.Header, name string, otherwise int) int {
	n, err := strconv.Atoi(h.Get(name))
	if err != nil || n < 0 {
		return otherwise
	}
	return n
}

// tokenTransport adds a personal access token.
type tokenTransport struct {
	token func(context.Context) (string, error)
	next  http.RoundTripper
}

func (t *tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := t.token(r.Context())
	token = strings.TrimSpace(token)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read GitHub's token: %w", err)
	case token == "":
		return nil, errors.New("read GitHub's token: it is empty")
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return t.next.RoundTrip(r)
}
