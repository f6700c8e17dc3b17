package registry

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Kind is what a request is about.
type Kind string

// The kinds of requests; a ping and the catalogue are none.
const (
	Manifests Kind = "manifests"
	Blobs     Kind = "blobs"
	Tags      Kind = "tags"
	Referrers Kind = "referrers"
)

// Request is one entry of the log.
type Request struct {
	Time       time.Time
	Method     string
	Path       string
	Kind       Kind
	Repository string
	Reference  string // a tag or a digest
	Status     int    // 0 when the connection was cut before an answer
	// Authorization is the header as it was sent, credentials included.
	Authorization string
}

// parse reads /v2/{repository}/{kind}/{reference}; a repository may have
// slashes, and an upload has a path of its own behind blobs/uploads.
func parse(r *http.Request, now time.Time) Request {
	out := Request{Time: now, Method: r.Method, Path: r.URL.Path, Authorization: r.Header.Get("Authorization")}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
	for i := len(parts) - 1; i > 0; i-- {
		switch kind := Kind(parts[i]); kind {
		case Manifests, Blobs, Tags, Referrers:
			out.Kind = kind
			out.Repository = strings.Join(parts[:i], "/")
			out.Reference = strings.Join(parts[i+1:], "/")
			return out
		}
	}
	return out
}

func (r *Registry) record(request Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, request)
}

// Requests returns those answered so far that match, in the order of their
// answers.
func (r *Registry) Requests(match Match) []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.requests), func(request Request) bool { return !match.takes(request) })
}

// ForgetRequests empties the log.
func (r *Registry) ForgetRequests() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

// counting remembers the status that was answered.
type counting struct {
	http.ResponseWriter
	status int
}

func (c *counting) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counting) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return c.ResponseWriter.Write(p)
}

func (c *counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }
