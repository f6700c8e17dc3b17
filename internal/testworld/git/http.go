package git

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var servicePath = regexp.MustCompile(`^/([^/]+/[^/]+?)\.git/(info/refs|git-upload-pack|git-receive-pack|HEAD|objects/.*)$`)

// Serves tells whether a path is one of git's, for a server that mounts this.
func Serves(path string) bool { return servicePath.MatchString(path) }

// ServeHTTP serves git's smart HTTP.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	match := servicePath.FindStringSubmatch(r.URL.Path)
	if match == nil {
		http.NotFound(w, r)
		return
	}
	name, service := match[1], strings.TrimPrefix(match[2], "git-")
	if q := r.URL.Query().Get("service"); service == "info/refs" && q != "" {
		service = strings.TrimPrefix(q, "git-") + " refs"
	}
	answer := &countingWriter{ResponseWriter: w, status: http.StatusOK, left: -1}
	entry := Request{Time: s.options.Clock(), Method: r.Method, Path: r.URL.Path, Repository: name, Service: service}
	defer func() {
		entry.Status, entry.Bytes = answer.status, answer.bytes
		s.record(entry)
	}()

	// A fault strikes before the password is looked at, as a broken proxy would.
	if f := s.strike(name, service); f != nil && f.apply(s, answer, r) {
		return
	}
	as, access := s.authenticate(name, r)
	entry.User = as
	if access == NoAccess {
		w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		http.Error(answer, "Invalid username or token.", http.StatusUnauthorized)
		return
	}
	repository, ok := s.Repository(name)
	if !ok {
		http.Error(answer, "Repository not found.", http.StatusNotFound)
		return
	}
	if strings.HasPrefix(service, "receive-pack") && access < WriteAccess {
		http.Error(answer, fmt.Sprintf("Permission to %s.git denied to %s.", name, as), http.StatusForbidden)
		return
	}
	if service == "receive-pack" {
		s.receive(answer, r, repository, as)
		return
	}
	s.run(answer, r, as)
}

// receive lets a push in under the repository's lock, so that the refs that
// differ afterwards are exactly the ones that this push moved.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, repository *Repository, as string) {
	// CGI needs a length, and big pushes come in chunks.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "read the push: "+err.Error(), http.StatusBadRequest)
		return
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))

	repository.Lock()
	defer repository.Unlock()
	// The client may hang up; what was pushed still has to be announced.
	ctx := context.WithoutCancel(r.Context())
	before, err := repository.refs(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var env []string
	if s.options.Judge != nil {
		env = refusalEnv(s.options.Judge(repository, as, pushedCommands(body)))
	}
	// Git's own answer ends the push for the client, so it is held back until
	// the observers know: after a push returns, its effects are visible.
	held := &heldWriter{header: http.Header{}}
	s.run(held, r, as, env...)
	after, err := repository.refs(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if changes := diffRefs(before, after); len(changes) > 0 {
		s.notify(ctx, repository, as, changes)
	}
	held.release(w)
}

func (s *Server) run(w http.ResponseWriter, r *http.Request, as string, env ...string) {
	handler := cgi.Handler{
		Path:   s.backend,
		Dir:    s.dir,
		Stderr: io.Discard,
		Env: append(append(cleanEnv(s.dir),
			"GIT_PROJECT_ROOT="+s.dir,
			"GIT_HTTP_EXPORT_ALL=1",
			"REMOTE_USER="+as,
			"GIT_PROTOCOL="+r.Header.Get("Git-Protocol"),
		), env...),
	}
	handler.ServeHTTP(w, r)
}

// cleanEnv keeps the machine's own git configuration out of the results.
func cleanEnv(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LC_ALL=C", "TZ=UTC",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
	}
}

// pushedCommands reads the ref updates that stand at the head of a push.
func pushedCommands(body []byte) []Change {
	var changes []Change
	for len(body) >= 4 {
		n, err := strconv.ParseUint(string(body[:4]), 16, 16)
		if err != nil || n < 4 || int(n) > len(body) {
			break // a flush packet, or no push at all: git itself will say
		}
		line, _, _ := strings.Cut(string(body[4:n]), "\x00")
		body = body[n:]
		if fields := strings.Fields(line); len(fields) == 3 {
			changes = append(changes, Change{Ref: fields[2], Before: fields[0], After: fields[1]})
		}
	}
	return changes
}

// Request is one request that reached the server.
type Request struct {
	Time       time.Time
	Method     string
	Path       string
	Repository string
	// Service is "upload-pack refs", "upload-pack", "receive-pack refs" or
	// "receive-pack".
	Service string
	User    string
	Status  int
	Bytes   int64
}

func (s *Server) record(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}

// Requests are all requests so far, the oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// ForgetRequests empties the log.
func (s *Server) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
	left   int64 // bytes until the connection is cut; negative means never
	// corruptAt is the byte of which a bit is flipped, the first being 1.
	corruptAt int64
}

func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(p []byte) (int, error) {
	cut := w.left >= 0 && int64(len(p)) > w.left
	if cut {
		p = p[:w.left]
	}
	if at := w.corruptAt - w.bytes - 1; at >= 0 && at < int64(len(p)) {
		p = bytes.Clone(p)
		p[at] ^= 1
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	if w.left >= 0 {
		w.left -= int64(n)
	}
	if cut {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type heldWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *heldWriter) Header() http.Header         { return w.header }
func (w *heldWriter) WriteHeader(status int)      { w.status = status }
func (w *heldWriter) Write(p []byte) (int, error) { return w.body.Write(p) }

func (w *heldWriter) release(to http.ResponseWriter) {
	for k, v := range w.header {
		to.Header()[k] = v
	}
	if w.status != 0 {
		to.WriteHeader(w.status)
	}
	_, _ = to.Write(w.body.Bytes())
}
