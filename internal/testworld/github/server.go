package github

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/git"
	"github.com/pawl-dev/pawl/internal/testworld/github/contract"
)

// Options are the stand-in's; the zero value works.
type Options struct {
	// GitDir holds the bare repositories; empty means a temporary directory.
	GitDir string
	// Addr is where it listens; empty means 127.0.0.1:0.
	Addr string
	// Clock is the time of everything but the check of an App's JWT, which its
	// client signs by the machine's clock. Nil means time.Now.
	Clock func() time.Time
	// Seed makes ids, delivery GUIDs and tokens repeatable.
	Seed uint64
	// RateLimit is each token's requests an hour; 0 means GitHub's 5,000.
	RateLimit int
	// UnknownMergeability is how many reads of a pull request answer
	// mergeable: null after its head or base moved; 0 means once, as a person
	// sees it on GitHub, negative means never.
	UnknownMergeability int
}

// Server is one GitHub.
type Server struct {
	options  Options
	git      *git.Server
	contract *contract.Contract
	url      string
	http     *http.Server
	api      http.Handler
	page     http.Handler
	ctx      context.Context
	cancel   context.CancelFunc
	sending  sync.WaitGroup

	// mu guards what follows. What belongs to one repository is guarded by that
	// repository's own lock, which is taken before mu, never inside it.
	mu            sync.Mutex
	random        *rand.Rand
	nextID        int64
	accounts      map[string]*account
	tokens        map[string]*actor
	apps          map[int64]*app
	repositories  map[string]*repository
	buckets       map[string]*bucket
	requests      []Request
	violations    []contract.Violation
	faults        []*fault
	webhookFaults []*webhookFault
	hooks         []*hook
	waiting       int           // webhooks on their way
	quiet         chan struct{} // closed when waiting falls to 0
}

// Start makes a GitHub that listens until Close or the end of ctx.
func Start(ctx context.Context, options Options) (*Server, error) {
	if options.Clock == nil {
		options.Clock = time.Now
	}
	if options.Addr == "" {
		options.Addr = "127.0.0.1:0"
	}
	if options.RateLimit == 0 {
		options.RateLimit = 5000
	}
	rules, err := contract.New()
	if err != nil {
		return nil, err
	}
	s := &Server{
		options:      options,
		contract:     rules,
		random:       rand.New(rand.NewPCG(options.Seed, 0x9a71)), //nolint:gosec // repeatable on purpose
		nextID:       1000 + int64(options.Seed%1000)*1_000_000,
		accounts:     map[string]*account{},
		tokens:       map[string]*actor{},
		apps:         map[int64]*app{},
		repositories: map[string]*repository{},
		buckets:      map[string]*bucket{},
		quiet:        make(chan struct{}),
	}
	close(s.quiet)
	s.git, err = git.New(ctx, git.Options{Dir: options.GitDir, Clock: options.Clock, Authenticate: s.authenticateGit, Judge: s.judgePush})
	if err != nil {
		return nil, err
	}
	s.git.Observe(s.refsMoved)
	listener, err := net.Listen("tcp", options.Addr)
	if err != nil {
		_ = s.git.Close()
		return nil, fmt.Errorf("listen for GitHub on %s: %w", options.Addr, err)
	}
	s.url = "http://" + listener.Addr().String()
	s.git.SetURL(s.url)
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.api = s.routes()
	s.page = s.pageRoutes()
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.http.Serve(listener) }()
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s, nil
}

// URL is the root: of the API (as github.com's api host, and under /api/v3 as
// GitHub Enterprise Server's), of git, and of the page.
func (s *Server) URL() string { return s.url }

// Git is the git server of the same repositories, for its faults and its log.
func (s *Server) Git() *git.Server { return s.git }

// Close stops serving and sending.
func (s *Server) Close() error {
	s.cancel()
	err := errors.Join(s.http.Close(), s.git.Close())
	s.sending.Wait()
	return err
}

// apiRoots are the first segments of the API's paths; anything else is a page.
var apiRoots = map[string]bool{
	"app": true, "apps": true, "installation": true, "meta": true, "orgs": true, "rate_limit": true,
	"repos": true, "user": true, "users": true, "graphql": true, "api": true,
}

// ServeHTTP serves the API, git and the page.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case git.Serves(r.URL.Path):
		s.git.ServeHTTP(w, r)
	case apiRoots[first]:
		s.api.ServeHTTP(w, r)
	default:
		s.page.ServeHTTP(w, r)
	}
}

func (s *Server) now() time.Time { return s.options.Clock().UTC() }

// id gives the next id. Ids rise, as GitHub's do.
func (s *Server) id() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idLocked()
}

func (s *Server) idLocked() int64 {
	s.nextID += 1 + int64(s.random.IntN(7))
	return s.nextID
}

func (s *Server) guid() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, b := s.random.Uint64(), s.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>52, b&0xffffffffffff)
}

const tokenLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func (s *Server) secretLocked(prefix string, n int) string {
	out := []byte(prefix)
	for range n {
		out = append(out, tokenLetters[s.random.IntN(len(tokenLetters))])
	}
	return string(out)
}

// Violations are the messages so far that GitHub would not have sent or taken.
func (s *Server) Violations() []contract.Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]contract.Violation(nil), s.violations...)
}

func (s *Server) violate(v contract.Violation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, v)
}

// Request is one API request that was answered.
type Request struct {
	Time   time.Time
	Method string
	Path   string // without /api/v3
	Query  string
	Status int // 0 when the connection was cut
	// Token is "user", "installation", "app" or "none"; User is whose it is.
	Token, User string
	// Fault is true when a fault answered, not GitHub.
	Fault bool
}

// Requests are all API requests so far, the oldest first. Git's are in Git().
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// ForgetRequests empties the log of requests.
func (s *Server) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

func (s *Server) record(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}
