package git

import (
	"net/http"
	"strings"
	"time"
)

// Match says which requests a fault strikes; an empty field matches all.
type Match struct {
	Repository string // owner/name
	Service    string // a prefix: upload-pack, receive-pack, "upload-pack refs"
	// Exact matches the whole Service: upload-pack is then the transfer alone.
	Exact bool
}

// Fault is what goes wrong. The first field that is set decides.
type Fault struct {
	// Hang holds the request until it is healed, given up or the server closes.
	Hang bool
	// RedirectTo answers 302 to the same path on another host.
	RedirectTo string
	// Status is answered instead of the real answer.
	Status int
	// TruncateAfter cuts the connection after this many bytes of the answer.
	TruncateAfter int64
	// CorruptAt flips a bit of this byte of the answer, the first being 1.
	CorruptAt int64
	// Delay holds the request back, then lets it through.
	Delay time.Duration
	// Times is how often it strikes; 0 means until healed.
	Times int
}

type fault struct {
	Match
	Fault
	left   int
	healed chan struct{}
}

// Fail makes matching requests go wrong until heal is called.
func (s *Server) Fail(m Match, f Fault) (heal func()) {
	added := &fault{Match: m, Fault: f, left: f.Times, healed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, added)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, one := range s.faults {
			if one == added {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
				close(added.healed)
				return
			}
		}
	}
}

func (s *Server) strike(repository, service string) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if (f.Repository != "" && f.Repository != repository) || !strings.HasPrefix(service, f.Service) || (f.Exact && service != f.Service) {
			continue
		}
		if f.Times > 0 {
			if f.left == 0 {
				continue
			}
			f.left--
		}
		return f
	}
	return nil
}

// apply reports whether the request has been answered.
func (f *fault) apply(s *Server, w *countingWriter, r *http.Request) bool {
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		case <-s.closed:
			panic(http.ErrAbortHandler)
		case <-f.healed:
			return false
		}
	case f.RedirectTo != "":
		http.Redirect(w, r, strings.TrimSuffix(f.RedirectTo, "/")+r.URL.RequestURI(), http.StatusFound)
		return true
	case f.Status != 0:
		http.Error(w, http.StatusText(f.Status), f.Status)
		return true
	case f.TruncateAfter > 0:
		w.left = f.TruncateAfter
	case f.CorruptAt > 0:
		w.corruptAt = f.CorruptAt
	case f.Delay > 0:
		select {
		case <-r.Context().Done():
		case <-s.closed:
		case <-time.After(f.Delay):
		}
	}
	return false
}
