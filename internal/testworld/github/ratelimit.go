package github

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// bucket is one identity's primary quota.
type bucket struct {
	limit, used int
	reset       time.Time
}

type actorKey struct{}

func actorOf(r *http.Request) *actor { return r.Context().Value(actorKey{}).(*actor) }

// bucketLocked finds the quota of whoever asks, begun anew each hour.
func (s *Server) bucketLocked(who *actor) *bucket {
	key := who.kind + " " + who.login()
	b, now := s.buckets[key], s.now()
	if b == nil || !now.Before(b.reset) {
		limit := s.options.RateLimit
		if who.kind == "none" {
			limit = min(60, limit)
		}
		b = &bucket{limit: limit, reset: now.Add(time.Hour)}
		s.buckets[key] = b
	}
	return b
}

func (b *bucket) headers(h http.Header) {
	h.Set("X-RateLimit-Limit", strconv.Itoa(b.limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(b.limit-b.used, 0)))
	h.Set("X-RateLimit-Used", strconv.Itoa(b.used))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(b.reset.Unix(), 10))
	h.Set("X-RateLimit-Resource", "core")
}

// limited is the API's outermost layer: who asks, its quota, the faults that
// strike it, and the log. Faults stand outside the contract: nothing describes
// a lost reply.
func (s *Server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := s.authenticate(r)
		r = r.WithContext(context.WithValue(r.Context(), actorKey{}, who))
		entry := Request{
			Time: s.now(), Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, "/api/v3"),
			Query: r.URL.RawQuery, Token: who.kind, User: who.login(),
		}
		// Logged before the answer leaves: a client that has it may look.
		f := s.strike(entry)
		if f != nil && f.before(s, w, r, &entry) {
			return
		}
		held := &heldAnswer{header: http.Header{}}
		if s.exhausted(who, entry.Path, held.header) {
			refuseForQuota(held, who)
		} else {
			next.ServeHTTP(held, r)
			s.count(who, entry.Path, held)
		}
		entry.Status = held.status
		if f != nil && f.after(s, w, &entry) {
			return
		}
		s.record(entry)
		held.release(w)
	})
}

// exhausted reports whether nothing is left of the quota, and says so in h.
func (s *Server) exhausted(who *actor, path string, h http.Header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucketLocked(who)
	if path == "/rate_limit" || b.used < b.limit {
		return false
	}
	b.headers(h)
	return true
}

// count takes the request from the quota, unless it cost nothing: a 304, or
// the question for the quota itself.
func (s *Server) count(who *actor, path string, held *heldAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucketLocked(who)
	if held.status != http.StatusNotModified && path != "/rate_limit" {
		b.used++
	}
	b.headers(held.header)
}

func refuseForQuota(w http.ResponseWriter, who *actor) {
	message := "API rate limit exceeded for " + who.login() + "."
	if who.kind == "none" {
		message = "API rate limit exceeded. (But here's the good news: Authenticated requests get a higher rate limit.)"
	}
	r := &refusal{status: http.StatusForbidden, message: message, header: http.Header{
		documentationHeader: {"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"},
	}}
	writeJSON(w, r.status, r.body())
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	out, _ := encode(body)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *heldAnswer) Header() http.Header { return w.header }

func (w *heldAnswer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *heldAnswer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *heldAnswer) release(to http.ResponseWriter) {
	for k, v := range w.header {
		to.Header()[k] = v
	}
	to.WriteHeader(w.status)
	_, _ = to.Write(w.body.Bytes())
}

func etag(body []byte, accept string) string {
	sum := sha256.Sum256(append([]byte(accept+"\n"), body...))
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func matchesTag(given, tag string) bool {
	for one := range strings.SplitSeq(given, ",") {
		if strings.TrimPrefix(strings.TrimSpace(one), "W/") == tag {
			return true
		}
	}
	return false
}

// rateLimit answers GET /rate_limit.
func rateLimit(c *call) (int, any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bucketLocked(c.who)
	core := object{"limit": b.limit, "remaining": max(b.limit-b.used, 0), "used": b.used, "reset": b.reset.Unix()}
	full := object{"limit": b.limit, "remaining": b.limit, "used": 0, "reset": b.reset.Unix()}
	return http.StatusOK, object{"resources": object{"core": core, "search": full, "graphql": full}, "rate": core}, nil
}
