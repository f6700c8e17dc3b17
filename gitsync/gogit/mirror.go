// Package gogit reads the watched branch over smart HTTP with go-git.
//
// It holds exactly one revision, in memory: no ref, no history, no work tree.
// A config repo is small, memory needs no volume and cannot be found corrupted
// after a crash, and reading a file is a look into a map. What a revision
// shares with the one before is kept, everything else is dropped at once, so
// what is held does not grow with time. Earlier revisions and history are
// fetched when somebody asks for them.
package gogit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/pawl-dev/pawl/gitsync"
)

// Options say what is read and how.
type Options struct {
	// URL of the repository, without credentials.
	URL    string
	Branch string
	// Credentials are asked with each fetch, so they may change; nil reads
	// anonymously. They are sent to the host of URL and to no other.
	Credentials func(context.Context) (user, password string, err error)
	// CABundle is PEM of certificate authorities to trust beside the system's.
	CABundle []byte
	// Timeout bounds each call; a minute if zero.
	Timeout time.Duration
	Limits  Limits
}

// Mirror reads one branch, and from its history. It is safe for concurrent use.
type Mirror struct {
	options Options
	remote  transport.Transport
	ref     string

	mu      sync.Mutex
	running bool
	next    *flight // of the callers that the running fetch does not serve

	held atomic.Pointer[snapshot] // only changed by the running fetch
	// refused is the last head that was too large, which is not received again.
	refused atomic.Pointer[gitsync.TooLarge]

	// aside is taken by what reads anything but the head: one call at a time, so
	// that many of them do not take many times the memory.
	aside chan struct{}
}

// New returns a mirror that has read nothing yet.
func New(o Options) (*Mirror, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("the address of the config repo is no http(s) address")
	case u.User != nil:
		return nil, errors.New("the address of the config repo has credentials in it; they are given apart from it")
	case o.Branch == "":
		return nil, errors.New("no branch to read")
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	o.Limits = o.Limits.withDefaults()
	roots, err := authorities(o.CABundle)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.URL, err)
	}
	host := newLimitedTransport(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, o.Limits)
	return &Mirror{
		options: o,
		remote:  githttp.NewClientWithOptions(&http.Client{Transport: host, CheckRedirect: stayOnHost}, nil),
		// Always in full: a branch may be called HEAD, or like a tag or a commit.
		ref:   "refs/heads/" + o.Branch,
		aside: make(chan struct{}, 1),
	}, nil
}

func authorities(bundle []byte) (*x509.CertPool, error) {
	if len(bundle) == 0 {
		return nil, nil // the system's
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, errors.New("its certificate authorities hold no certificate in PEM")
	}
	return pool, nil
}

// flight is a fetch that any number of callers wait for.
type flight struct {
	ctx     context.Context
	giveUp  context.CancelFunc
	waiting int

	done chan struct{}
	rev  gitsync.Revision
	err  error
}

// Fetch returns the branch's head as the remote names it during this call.
// What it named earlier is never returned instead: where the branch cannot be
// read the error says why (*gitsync.BranchGone, RepositoryGone, AccessDenied,
// TooLarge, or another), and keeping the last good revision is the caller's
// part. If nothing moved that costs one small request.
//
// Calls that overlap share one fetch. A call that comes while a fetch is under
// way waits for the one after it, because that one may have asked too early.
func (m *Mirror) Fetch(ctx context.Context) (gitsync.Revision, error) {
	m.mu.Lock()
	f := m.next
	if f == nil {
		f = &flight{done: make(chan struct{})}
		f.ctx, f.giveUp = context.WithCancel(context.WithoutCancel(ctx))
		m.next = f
	}
	f.waiting++
	if !m.running {
		m.running = true
		go m.run()
	}
	m.mu.Unlock()

	select {
	case <-f.done:
		return f.rev, f.err
	case <-ctx.Done():
		m.mu.Lock()
		if f.waiting--; f.waiting == 0 {
			f.giveUp()
			if m.next == f {
				m.next = nil // nobody may join what has been given up
			}
		}
		m.mu.Unlock()
		return gitsync.Revision{}, ctx.Err()
	}
}

// run serves flights one after the other until none is left.
func (m *Mirror) run() {
	for {
		m.mu.Lock()
		f := m.next
		m.next = nil
		m.running = f != nil
		m.mu.Unlock()
		if f == nil {
			return
		}
		ctx, cancel := m.bounded(f.ctx)
		f.rev, f.err = m.fetch(ctx)
		cancel()
		f.giveUp()
		close(f.done)
	}
}

func (m *Mirror) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, m.options.Timeout, fmt.Errorf("no complete answer within %s", m.options.Timeout))
}

func (m *Mirror) fetch(ctx context.Context) (gitsync.Revision, error) {
	what := "branch " + m.options.Branch
	session, refs, err := m.ask(ctx)
	if err != nil {
		return gitsync.Revision{}, m.explain(ctx, what, err)
	}
	head, ok := refs.References[m.ref]
	if !ok {
		return gitsync.Revision{}, &gitsync.BranchGone{Repository: m.options.URL, Branch: m.options.Branch}
	}
	held := m.held.Load()
	if held != nil && held.head == head {
		return held.revision, nil
	}
	if refused := m.refused.Load(); refused != nil && refused.Commit == gitsync.Commit(head.String()) {
		return gitsync.Revision{}, refused // the limits are what they were
	}
	next, err := m.advance(ctx, session, refs, head, held)
	if err != nil {
		err = m.explain(ctx, what, err)
		var large *gitsync.TooLarge
		if errors.As(err, &large) {
			large.Commit = gitsync.Commit(head.String())
			m.refused.Store(large)
		}
		return gitsync.Revision{}, err
	}
	m.held.Store(next)
	return next.revision, nil
}

// ask signs in and reads what the remote advertises.
func (m *Mirror) ask(ctx context.Context) (transport.UploadPackSession, *packp.AdvRefs, error) {
	endpoint, err := transport.NewEndpoint(m.options.URL)
	if err != nil {
		return nil, nil, err
	}
	var auth transport.AuthMethod
	if m.options.Credentials != nil {
		user, password, err := m.options.Credentials(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("get credentials: %w", err)
		}
		auth = &githttp.BasicAuth{Username: user, Password: password}
	}
	session, err := m.remote.NewUploadPackSession(endpoint, auth)
	if err != nil {
		return nil, nil, err
	}
	refs, err := session.AdvertisedReferencesContext(ctx)
	return session, refs, err
}

// advance receives what is new since the revision held. The remote is told of
// that one's commit and takes for granted that we have its history, which is
// what keeps the answer small. Where something is missing after all (a revert
// brought back a file from before our first fetch, or somebody rewrote the
// branch) the head is fetched anew, by itself.
func (m *Mirror) advance(ctx context.Context, session transport.UploadPackSession, refs *packp.AdvRefs, head plumbing.Hash, held *snapshot) (*snapshot, error) {
	if held != nil {
		received, err := m.receive(ctx, session, refs, wish{want: head, have: held.head})
		if err == nil {
			var next *snapshot
			if next, err = m.build(received, head, held); err == nil {
				next.since, next.line = held.head, m.remember(received, head, held.head)
				return next, nil
			}
		}
		if ctx.Err() != nil || !errors.Is(err, plumbing.ErrObjectNotFound) && !errors.As(err, new(*tooMuch)) && !errors.Is(err, errIncomplete) {
			return nil, err
		}
	}
	received, err := m.receive(ctx, session, refs, wish{want: head, alone: true})
	if err != nil {
		return nil, err
	}
	return m.build(received, head, held)
}

// wish is what is asked of the remote.
type wish struct {
	want plumbing.Hash
	// have is a commit whose objects, and those of its history, are left out.
	have plumbing.Hash
	// alone leaves out the history.
	alone bool
	// commits leaves out files and folders, if the remote can do that.
	commits bool
}

// receive gets the objects that lead to a commit.
func (m *Mirror) receive(ctx context.Context, session transport.UploadPackSession, refs *packp.AdvRefs, w wish) (*objects, error) {
	request := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	request.Wants = []plumbing.Hash{w.want}
	if w.have != plumbing.ZeroHash {
		request.Haves = []plumbing.Hash{w.have}
	}
	set := func(c capability.Capability) error { return request.Capabilities.Set(c) }
	var err error
	most := 0
	if w.alone {
		request.Depth = packp.DepthCommits(1)
		err = set(capability.Shallow)
	}
	if w.commits && refs.Capabilities.Supports(capability.Filter) {
		request.Filter = packp.FilterTreeDepth(0)
		err = errors.Join(err, set(capability.Filter))
		most = m.options.Limits.History
	}
	if refs.Capabilities.Supports(capability.NoProgress) {
		err = errors.Join(err, set(capability.NoProgress))
	}
	if err != nil {
		return nil, err
	}
	response, err := session.UploadPack(ctx, request)
	if errors.Is(err, transport.ErrEmptyUploadPackRequest) {
		return newObjects(), nil
	}
	if err != nil {
		return nil, err
	}
	defer response.Close()
	known := slices.Contains(response.ACKs, w.have)
	received, err := unpack(response, request.Capabilities, m.options.Limits, most)
	if errors.Is(err, errTooMany) {
		return nil, &tooManyCommits{known}
	}
	if err != nil {
		return nil, err
	}
	received.known = known
	return received, nil
}

// explain turns what the transport says into the errors of gitsync.
func (m *Mirror) explain(ctx context.Context, what string, err error) error {
	var much *tooMuch
	switch {
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return &gitsync.BranchGone{Repository: m.options.URL, Branch: m.options.Branch, Empty: true}
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return &gitsync.RepositoryGone{Repository: m.options.URL}
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return &gitsync.AccessDenied{Repository: m.options.URL, Cause: errors.New(plain(err))}
	case errors.As(err, &much):
		return &gitsync.TooLarge{Repository: m.options.URL, Limit: much.limit}
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return &readError{text: fmt.Sprintf("read %s of %s: %s", what, m.options.URL, plain(err)), cause: err}
}

// readError shows a cleaned text and keeps the cause for errors.Is.
type readError struct {
	text  string
	cause error
}

func (e *readError) Error() string { return e.text }
func (e *readError) Unwrap() error { return e.cause }

// plain is what an error says, on one line: servers put their words in it.
func plain(err error) string {
	const most = 300
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return ' '
		}
		return r
	}, err.Error())
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.TrimSuffix(text, ":")
}
