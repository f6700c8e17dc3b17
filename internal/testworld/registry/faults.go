package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Match says which requests are meant; an empty field matches all.
type Match struct {
	Method     string
	Kind       Kind
	Repository string
	Reference  string // a tag or a digest
}

func (m Match) takes(r Request) bool {
	return (m.Method == "" || m.Method == r.Method) && (m.Kind == "" || m.Kind == r.Kind) &&
		(m.Repository == "" || m.Repository == r.Repository) && (m.Reference == "" || m.Reference == r.Reference)
}

// Fault is what goes wrong. Delay comes first; of the others, the first that
// is set decides.
type Fault struct {
	// Delay holds the request back.
	Delay time.Duration
	// Hang holds it until it is healed, given up or the registry closes.
	Hang bool
	// Drop cuts the connection without an answer.
	Drop bool
	// Status is answered instead of the real answer.
	Status int
	// RetryAfter goes with Status, in seconds.
	RetryAfter int
	// Endless answers 200 and a body that does not end.
	Endless bool
	// Drip answers 200 and a body of one byte now and then.
	Drip bool
	// Redirect sends the client to this URL.
	Redirect string
	// TruncateAfter cuts the connection after this many bytes of the answer.
	TruncateAfter int
	// Manifests are answered in turn instead of the stored one, over and over:
	// a tag that moves between two looks, or a digest that lies.
	Manifests [][]byte
	// Digest is claimed in Docker-Content-Digest, whatever is answered.
	Digest string
	// Times is how often it strikes; 0 means until healed.
	Times int
}

type fault struct {
	Match
	Fault
	struck int
	turn   int // of this strike
	healed chan struct{}
}

// Fail makes matching requests go wrong until heal is called. Of several that
// match, the one added first strikes.
func (r *Registry) Fail(m Match, f Fault) (heal func()) {
	added := &fault{Match: m, Fault: f, healed: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, added)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, one := range r.faults {
			if one == added {
				r.faults = append(r.faults[:i:i], r.faults[i+1:]...)
				close(added.healed)
				return
			}
		}
	}
}

// strike returns a copy: the turn belongs to one request.
func (r *Registry) strike(request Request) *fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		if !f.takes(request) || (f.Times > 0 && f.struck == f.Times) {
			continue
		}
		f.turn = f.struck
		f.struck++
		strike := *f
		return &strike
	}
	return nil
}

// fail does what the fault says. When it is not done, the real answer follows
// through the writer it returns.
func (r *Registry) fail(w http.ResponseWriter, request *http.Request, f *fault) (_ http.ResponseWriter, done bool) {
	if f.Delay > 0 && !r.wait(request, f, time.After(f.Delay)) {
		return w, true
	}
	switch {
	case f.Hang:
		return w, !r.wait(request, f, nil)
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		refuse(w, f.Status, "UNKNOWN", "a fault was asked for")
		return w, true
	case f.Endless:
		w.Header().Set("Content-Type", "application/octet-stream")
		r.endless(w, request, f)
		return w, true
	case f.Drip:
		w.Header().Set("Content-Type", "application/octet-stream")
		r.drip(w, request, f)
		return w, true
	case f.Redirect != "":
		http.Redirect(w, request, f.Redirect, http.StatusTemporaryRedirect)
		return w, true
	case f.TruncateAfter > 0:
		return &truncating{ResponseWriter: w, left: f.TruncateAfter}, false
	case len(f.Manifests) > 0:
		answerManifest(w, request, f.Manifests[f.turn%len(f.Manifests)], f.Digest)
		return w, true
	case f.Digest != "":
		return &lying{ResponseWriter: w, digest: f.Digest}, false
	}
	return w, false
}

// wait is true when the time has come or the fault was healed, and false when
// nobody waits any more.
func (r *Registry) wait(request *http.Request, f *fault, until <-chan time.Time) bool {
	select {
	case <-until:
		return true
	case <-f.healed:
		return true
	case <-request.Context().Done():
		return false
	case <-r.closed:
		return false
	}
}

func (r *Registry) endless(w http.ResponseWriter, request *http.Request, f *fault) {
	chunk := make([]byte, 32<<10)
	for {
		select {
		case <-f.healed:
			return
		case <-request.Context().Done():
			return
		case <-r.closed:
			return
		default:
		}
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// drip is slow enough never to fill anything, and quick enough never to be
// taken for a broken connection.
func (r *Registry) drip(w http.ResponseWriter, request *http.Request, f *fault) {
	for {
		if _, err := w.Write([]byte{' '}); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-f.healed:
			return
		case <-request.Context().Done():
			return
		case <-r.closed:
			return
		}
	}
}

func answerManifest(w http.ResponseWriter, request *http.Request, manifest []byte, digest string) {
	var typed struct {
		MediaType string `json:"mediaType"`
	}
	_ = json.Unmarshal(manifest, &typed) // not JSON, no media type: as asked for
	if typed.MediaType == "" {
		typed.MediaType = "application/vnd.oci.image.manifest.v1+json"
	}
	if digest == "" {
		sum := sha256.Sum256(manifest)
		digest = "sha256:" + hex.EncodeToString(sum[:])
	}
	w.Header().Set("Content-Type", typed.MediaType)
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Length", strconv.Itoa(len(manifest)))
	w.WriteHeader(http.StatusOK)
	if request.Method != http.MethodHead {
		_, _ = w.Write(manifest)
	}
}

// truncating cuts the connection in the middle of the body.
type truncating struct {
	http.ResponseWriter
	left int
}

func (t *truncating) Write(p []byte) (int, error) {
	if len(p) < t.left {
		t.left -= len(p)
		return t.ResponseWriter.Write(p)
	}
	_, _ = t.ResponseWriter.Write(p[:t.left])
	_ = http.NewResponseController(t.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func (t *truncating) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// lying claims a digest that the answer does not have.
type lying struct {
	http.ResponseWriter
	digest string
}

func (l *lying) WriteHeader(status int) {
	l.Header().Set("Docker-Content-Digest", l.digest)
	l.ResponseWriter.WriteHeader(status)
}
