package github

import (
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// Match says which API requests a fault strikes; an empty field matches all.
type Match struct {
	Method string
	Path   *regexp.Regexp // on the path without /api/v3
	Token  string         // "user", "installation", "app", "none"
	User   string
}

// Fault is what goes wrong with a request.
type Fault struct {
	// Status is answered instead of GitHub's own answer; 0 with neither Reset
	// nor Delay means 500.
	Status int
	// Message is the answer's message.
	Message string
	// Header is added to the answer.
	Header http.Header
	// DocumentationURL replaces the answer's.
	DocumentationURL string
	// Reset cuts the connection instead of answering.
	Reset bool
	// AfterEffect lets GitHub do what was asked before the answer is lost.
	AfterEffect bool
	// Delay passes first. With nothing else set the request then succeeds.
	Delay time.Duration
	// Times is how often it strikes; 0 means until healed.
	Times int
}

// ServerError is a 5xx that had no effect.
func ServerError(status int) Fault { return Fault{Status: status, Message: "Server Error"} }

// LostReply lets the request take effect and cuts the connection.
func LostReply() Fault { return Fault{Reset: true, AfterEffect: true} }

// SecondaryLimit is GitHub's limit on bursts: 403 or 429, with Retry-After when
// it is not 0.
func SecondaryLimit(status int, retryAfter time.Duration) Fault {
	h := http.Header{}
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	return Fault{
		Status: status, Header: h,
		Message:          "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
		DocumentationURL: "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits",
	}
}

// PrimaryLimit is an hour's quota used up: 403 or 429, until reset.
func PrimaryLimit(status int, reset time.Time) Fault {
	h := http.Header{}
	h.Set("X-RateLimit-Limit", "5000")
	h.Set("X-RateLimit-Remaining", "0")
	h.Set("X-RateLimit-Used", "5000")
	h.Set("X-RateLimit-Resource", "core")
	h.Set("X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	return Fault{
		Status: status, Header: h, Message: "API rate limit exceeded.",
		DocumentationURL: "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api",
	}
}

type fault struct {
	Match
	Fault
	left int
}

// Fail makes matching API requests go wrong until heal is called.
func (s *Server) Fail(m Match, f Fault) (heal func()) {
	added := &fault{Match: m, Fault: f, left: f.Times}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, added)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, one := range s.faults {
			if one == added {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
				return
			}
		}
	}
}

func (s *Server) strike(r Request) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if (f.Method != "" && f.Method != r.Method) || (f.Path != nil && !f.Path.MatchString(r.Path)) ||
			(f.Token != "" && f.Token != r.Token) || (f.User != "" && f.User != r.User) {
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

func (f *fault) before(s *Server, w http.ResponseWriter, r *http.Request, entry *Request) (answered bool) {
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
	}
	if f.AfterEffect {
		return false
	}
	return f.answer(s, w, entry)
}

func (f *fault) after(s *Server, w http.ResponseWriter, entry *Request) (answered bool) {
	return f.AfterEffect && f.answer(s, w, entry)
}

func (f *fault) answer(s *Server, w http.ResponseWriter, entry *Request) bool {
	if f.Status == 0 && !f.Reset && f.Delay > 0 {
		return false
	}
	entry.Fault, entry.Status = true, 0
	if f.Reset {
		s.record(*entry)
		panic(http.ErrAbortHandler)
	}
	if entry.Status = f.Status; f.Status == 0 {
		entry.Status = http.StatusInternalServerError
	}
	s.record(*entry)
	for k, v := range f.Header {
		w.Header()[k] = v
	}
	r := &refusal{status: entry.Status, message: f.Message, header: http.Header{}}
	if r.message == "" {
		r.message = http.StatusText(entry.Status)
	}
	if f.DocumentationURL != "" {
		r.header.Set(documentationHeader, f.DocumentationURL)
	}
	writeJSON(w, r.status, r.body())
	return true
}
