// Package gogit reads the watched branch over smart HTTP with go-git.
//
// It holds exactly one revision, in memory: no ref, no history, no work tree.
// A config repo is small, memory needs no volume and cannot be found corrupted
// after a crash, and reading a file is a look into a map. What a revision
// shares with the one before is kept, everything else is dropped at once, so
// what is held does not grow with time.
package gogit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
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
	// Timeout bounds a fetch; a minute if zero.
	Timeout time.Duration
	Limits  Limits
}

// Mirror reads one branch. It is safe for concurrent use.
type Mirror struct {
	options Options
	remote  transport.Transport
	ref     string

	mu      sync.Mutex
	running bool
	next    *flight // of the callers that the running fetch does not serve

	held *snapshot // only touched by the running fetch
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
		ref: "refs/heads/" + o.Branch,
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
		ctx, cancel := context.WithTimeoutCause(f.ctx, m.options.Timeout, fmt.Errorf("no complete answer within %s", m.options.Timeout))
		f.rev, f.err = m.fetch(ctx)
		cancel()
		f.giveUp()
		close(f.done)
	}
}

func (m *Mirror) fetch(ctx context.Context) (gitsync.Revision, error) {
	session, refs, err := m.ask(ctx)
	if err != nil {
		return gitsync.Revision{}, m.explain(ctx, err)
	}
	head, ok := refs.References[m.ref]
	if !ok {
		return gitsync.Revision{}, &gitsync.BranchGone{Repository: m.options.URL, Branch: m.options.Branch}
	}
	if m.held != nil && m.held.head == head {
		return m.held.revision, nil
	}
	next, err := m.advance(ctx, session, refs, head)
	if err != nil {
		return gitsync.Revision{}, m.explain(ctx, err)
	}
	m.held = next
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
func (m *Mirror) advance(ctx context.Context, session transport.UploadPackSession, refs *packp.AdvRefs, head plumbing.Hash) (*snapshot, error) {
	if m.held != nil {
		objects, err := m.receive(ctx, session, refs, head, m.held.head)
		if err == nil {
			var next *snapshot
			if next, err = m.build(objects, head); err == nil {
				next.revision.Rewritten = !descends(objects, head, m.held.head)
				return next, nil
			}
		}
		// A commit that is not sent is one that we are supposed to have: an
		// ancestor of the commit held.
		back := objects != nil && objects.Commits[head] == nil
		if ctx.Err() != nil || !errors.Is(err, plumbing.ErrObjectNotFound) && !errors.As(err, new(*tooMuch)) && !errors.Is(err, errIncomplete) {
			return nil, err
		}
		next, err := m.anew(ctx, session, refs, head)
		if err != nil {
			return nil, err
		}
		next.revision.Rewritten = back || objects != nil && !descends(objects, head, m.held.head)
		return next, nil
	}
	return m.anew(ctx, session, refs, head)
}

// anew receives the head without its history.
func (m *Mirror) anew(ctx context.Context, session transport.UploadPackSession, refs *packp.AdvRefs, head plumbing.Hash) (*snapshot, error) {
	objects, err := m.receive(ctx, session, refs, head, plumbing.ZeroHash)
	if err != nil {
		return nil, err
	}
	return m.build(objects, head)
}

// receive gets the objects that lead to head, without those that the commit we
// have leads to, or without any history where we have none.
func (m *Mirror) receive(ctx context.Context, session transport.UploadPackSession, refs *packp.AdvRefs, head, have plumbing.Hash) (*objects, error) {
	request := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	request.Wants = []plumbing.Hash{head}
	if have != plumbing.ZeroHash {
		request.Haves = []plumbing.Hash{have}
	} else {
		request.Depth = packp.DepthCommits(1)
		if err := request.Capabilities.Set(capability.Shallow); err != nil {
			return nil, err
		}
	}
	if refs.Capabilities.Supports(capability.NoProgress) {
		if err := request.Capabilities.Set(capability.NoProgress); err != nil {
			return nil, err
		}
	}
	response, err := session.UploadPack(ctx, request)
	if errors.Is(err, transport.ErrEmptyUploadPackRequest) {
		return newObjects(), nil
	}
	if err != nil {
		return nil, err
	}
	defer response.Close()
	return unpack(response, request.Capabilities, m.options.Limits)
}

// explain turns what the transport says into the errors of gitsync.
func (m *Mirror) explain(ctx context.Context, err error) error {
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
	return &readError{text: fmt.Sprintf("read branch %s of %s: %s", m.options.Branch, m.options.URL, plain(err)), cause: err}
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
