package github

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// call is one API request being answered.
type call struct {
	*Server
	request *http.Request
	header  http.Header // of the answer
	who     *actor
	// repo is the repository in the path; its lock is held.
	repo *repository
	body []byte
}

// handler answers with a status and a body to write as JSON, or an error.
type handler func(c *call) (int, any, error)

// text is an answer that is not JSON.
type text struct{ mediaType, body string }

// route is one operation and what it needs: a permission as installations have
// them ("contents:write", with a third part the role that a person needs), "app" for an App's JWT, "user" for a person, "" for
// anybody. "checks:write" is for installations only.
type route struct {
	pattern, needs string
	handle         handler
}

func (s *Server) routes() http.Handler {
	mux, comments := http.NewServeMux(), http.NewServeMux()
	for _, table := range [][]route{
		appRoutes, repositoryRoutes, collaboratorRoutes, refRoutes, objectRoutes, commitRoutes, contentRoutes, branchRoutes, pullRoutes,
		reviewRoutes, issueRoutes, statusRoutes, checkRoutes, suiteRoutes, hookRoutes, deliveryRoutes,
	} {
		for _, r := range table {
			mux.Handle(r.pattern, s.answer(r))
		}
	}
	// issues/comments/{id} and issues/{number}/labels cannot share a ServeMux:
	// neither is the more specific.
	for _, r := range commentRoutes {
		comments.Handle(r.pattern, s.answer(r))
	}
	unknown := s.answer(route{handle: func(*call) (int, any, error) { return 0, nil, notFound() }})
	mux.Handle("/", unknown)
	comments.Handle("/", unknown)
	checked := s.contract.Middleware(stripAPI(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if commentPath.MatchString(r.URL.Path) {
			comments.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})), s.violate)
	return s.limited(checked)
}

var commentPath = regexp.MustCompile(`^/repos/[^/]+/[^/]+/issues/comments/`)

// stripAPI serves GitHub Enterprise Server's root as well.
func stripAPI(next http.Handler) http.Handler {
	stripped := http.StripPrefix("/api/v3", next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/v3/") {
			stripped.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) answer(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Server: s, request: r, header: w.Header(), who: actorOf(r)}
		status, body, err := c.run(route)
		if err != nil {
			status, body = c.refused(err)
		}
		c.write(w, status, body)
	})
}

func (c *call) run(route route) (int, any, error) {
	if err := c.who.err; err != nil {
		return 0, nil, err
	}
	if err := c.readBody(); err != nil {
		return 0, nil, err
	}
	if owner := c.request.PathValue("owner"); owner != "" {
		c.mu.Lock()
		c.repo = c.repositories[owner+"/"+c.path("repo")]
		c.mu.Unlock()
		if c.repo == nil {
			return 0, nil, notFound()
		}
		c.repo.git.Lock()
		defer c.repo.git.Unlock()
	}
	if err := c.permit(route.needs); err != nil {
		return 0, nil, err
	}
	return route.handle(c)
}

// refused turns an error into GitHub's answer. What is not a refusal is a
// fault of the stand-in itself, and shows as a 500.
func (c *call) refused(err error) (int, any) {
	var r *refusal
	switch {
	case errors.As(err, &r):
	case errors.Is(err, git.ErrUnknown):
		r = notFound().(*refusal)
	case errors.Is(err, git.ErrMoved):
		r = &refusal{status: http.StatusUnprocessableEntity, message: "Reference cannot be updated"}
	default:
		r = &refusal{status: http.StatusInternalServerError, message: "the stand-in failed: " + err.Error()}
	}
	for k, v := range r.header {
		if k != documentationHeader {
			c.header[k] = v
		}
	}
	return r.status, r.body()
}

func (c *call) write(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("X-GitHub-Request-Id", strings.ToUpper(strings.ReplaceAll(c.guid(), "-", ":"))[:23])
	h.Set("X-GitHub-Media-Type", "github.v3; format=json")
	var out []byte
	switch body := body.(type) {
	case nil:
	case text:
		h.Set("Content-Type", body.mediaType)
		out = []byte(body.body)
	default:
		h.Set("Content-Type", "application/json; charset=utf-8")
		encoded, err := encode(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		out = encoded
	}
	if status == http.StatusOK && c.request.Method == http.MethodGet {
		tag := etag(out, c.request.Header.Get("Accept"))
		h.Set("ETag", tag)
		h.Set("Vary", "Accept, Authorization, Cookie, X-GitHub-OTP, Accept-Encoding, Accept, X-Requested-With")
		h.Set("Cache-Control", "private, max-age=60, s-maxage=60")
		if matchesTag(c.request.Header.Get("If-None-Match"), tag) {
			h.Del("Content-Type")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func (c *call) readBody() error {
	body, err := io.ReadAll(c.request.Body)
	if err != nil {
		return refuse(http.StatusBadRequest, "Problems reading the body")
	}
	if c.body = bytes.TrimSpace(body); len(c.body) > 0 && !json.Valid(c.body) {
		return refuse(http.StatusBadRequest, "Problems parsing JSON")
	}
	return nil
}

// read decodes the body; a field of the wrong type is a 422, as GitHub's.
func (c *call) read(into any) error {
	if len(c.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		return refuse(http.StatusUnprocessableEntity, "Invalid request.\n\n%v", err)
	}
	return nil
}

func (c *call) path(name string) string { return c.request.PathValue(name) }

func (c *call) query(name string) string { return c.request.URL.Query().Get(name) }

func (c *call) number(name string) (int64, error) {
	n, err := strconv.ParseInt(c.path(name), 10, 64)
	if err != nil {
		return 0, notFound()
	}
	return n, nil
}

func (c *call) accepts(format string) bool {
	accept := c.request.Header.Get("Accept")
	return strings.Contains(accept, "application/vnd.github."+format) || strings.Contains(accept, "application/vnd.github.v3."+format)
}

// page cuts a list to the page asked for and links to the others.
func page[T any](c *call, all []T) []T {
	per, _ := strconv.Atoi(c.query("per_page"))
	if per <= 0 {
		per = 30
	}
	per = min(per, 100)
	at, _ := strconv.Atoi(c.query("page"))
	at = max(at, 1)
	last := max((len(all)+per-1)/per, 1)
	var links []string
	link := func(n int, rel string) {
		u := *c.request.URL
		q := u.Query()
		q.Set("page", strconv.Itoa(n))
		u.RawQuery = q.Encode()
		links = append(links, "<"+c.url+u.RequestURI()+`>; rel="`+rel+`"`)
	}
	if at > 1 {
		link(min(at-1, last), "prev")
		link(1, "first")
	}
	if at < last {
		link(at+1, "next")
		link(last, "last")
	}
	if links != nil {
		c.header.Set("Link", strings.Join(links, ", "))
	}
	from := min((at-1)*per, len(all))
	return all[from:min(from+per, len(all))]
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func stampOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// apiURL is where a thing is found in the API.
func (s *Server) apiURL(parts ...string) string {
	return s.url + "/api/v3/" + strings.Join(parts, "/")
}

func escapeSegments(path string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
