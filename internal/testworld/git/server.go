package git

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Access is what somebody may do with a repository.
type Access int

// The levels of access, each including the ones before it.
const (
	NoAccess Access = iota
	ReadAccess
	WriteAccess
)

// Options are the server's; the zero value works.
type Options struct {
	// Dir holds the bare repositories as {owner}/{name}.git. Empty means a
	// temporary directory that Close removes.
	Dir string
	// Addr is where Start listens; empty means 127.0.0.1:0.
	Addr string
	// Clock dates the commits made by Commit; nil means time.Now.
	Clock func() time.Time
	// Authenticate replaces the users of AddUser. Without credentials it is
	// asked with two empty strings, so that it can allow public reading.
	Authenticate func(repository, user, password string) (as string, access Access)
	// Judge is asked before a push is let in, with the repository locked. The
	// pushed objects are not there yet: it sees names and ids only.
	Judge func(repository *Repository, by string, changes []Change) []Refusal
}

// Refusal makes the update hook refuse a ref with words that the pushing
// client prints.
type Refusal struct {
	Ref     string
	Message string
	// OnlyForced refuses the update only when it is not a fast-forward.
	OnlyForced bool
}

// Change is a ref that moved. Before or After is Zero when it was created or
// deleted.
type Change struct {
	Ref, Before, After string
}

// Zero is the id that stands for "no object".
const Zero = "0000000000000000000000000000000000000000"

// Observer hears of refs that moved. It is called with the repository locked
// and must not take longer than it needs.
type Observer func(ctx context.Context, repository *Repository, by string, changes []Change)

// Server serves bare repositories over smart HTTP.
type Server struct {
	options   Options
	dir       string
	removeDir bool
	backend   string

	mu           sync.Mutex
	users        map[string]user
	repositories map[string]*Repository
	observers    []Observer
	requests     []Request
	faults       []*fault
	closed       chan struct{}
	closeOnce    sync.Once
	http         *http.Server
	url          string
}

type user struct {
	password string
	access   Access
}

// New makes a server that does not listen: mount it as a handler.
func New(ctx context.Context, options Options) (*Server, error) {
	backend, err := findBackend(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{
		options:      options,
		dir:          options.Dir,
		backend:      backend,
		users:        map[string]user{},
		repositories: map[string]*Repository{},
		closed:       make(chan struct{}),
	}
	if s.options.Clock == nil {
		s.options.Clock = time.Now
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "pawl-git-"); err != nil {
			return nil, fmt.Errorf("make a directory for git repositories: %w", err)
		}
		s.removeDir = true
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return nil, fmt.Errorf("find the directory of git repositories: %w", err)
	}
	return s, s.openExisting()
}

// Start makes a server that listens until Close or the end of ctx.
func Start(ctx context.Context, options Options) (*Server, error) {
	s, err := New(ctx, options)
	if err != nil {
		return nil, err
	}
	addr := options.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("listen for git on %s: %w", addr, err)
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.SetURL("http://" + listener.Addr().String())
	go func() { _ = s.http.Serve(listener) }()
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s, nil
}

// SetURL tells a mounted server what it is reached by.
func (s *Server) SetURL(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = strings.TrimSuffix(url, "/")
}

// URL is the root of all repositories.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// Close stops serving and removes a temporary directory.
func (s *Server) Close() error {
	var err error
	s.closeOnce.Do(func() {
		close(s.closed)
		if s.http != nil {
			err = s.http.Close()
		}
		if s.removeDir {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	})
	return err
}

// AddUser lets a user in by password or token, or changes what it may do.
func (s *Server) AddUser(name, password string, access Access) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[name] = user{password, access}
}

// Observe adds an observer of ref changes.
func (s *Server) Observe(o Observer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observers = append(s.observers, o)
}

// Repository finds a repository by "owner/name".
func (s *Server) Repository(name string) (*Repository, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.repositories[name]
	return r, ok
}

func (s *Server) authenticate(repository string, r *http.Request) (string, Access) {
	name, password, _ := r.BasicAuth()
	if s.options.Authenticate != nil {
		return s.options.Authenticate(repository, name, password)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[name]
	if !ok || u.password != password {
		return "", NoAccess
	}
	return name, u.access
}

// openExisting serves what an earlier server left in the directory.
func (s *Server) openExisting() error {
	dirs, err := filepath.Glob(filepath.Join(s.dir, "*", "*.git"))
	if err != nil {
		return fmt.Errorf("look for git repositories in %s: %w", s.dir, err)
	}
	for _, dir := range dirs {
		name := filepath.Base(filepath.Dir(dir)) + "/" + strings.TrimSuffix(filepath.Base(dir), ".git")
		s.repositories[name] = &Repository{Name: name, Dir: dir, server: s}
	}
	return nil
}

func findBackend(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "git", "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("find git: %w; install it with: apt-get install -y git", err)
	}
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return "", fmt.Errorf("find git http-backend: %w; it is in Debian's package git", err)
	}
	return backend, nil
}

// validName keeps a repository's name from leaving the directory.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]*[A-Za-z0-9_-]$`)
