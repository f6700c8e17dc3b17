// Package github is GitHub as the agent's forge: checks or statuses on commits,
// promotion pull requests, and commits, through its REST API. What to say and
// what to propose is decided in promote; here it is made so, once, whatever
// gets lost on the way.
package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v60/github"
	"github.com/rs/zerolog"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
)

// Options say which repository, and as whom. Exactly one of Token and App is set.
type Options struct {
	// URL is the root of the API; https://api.github.com if empty,
	// https://HOST/api/v3 for GitHub Enterprise Server.
	URL        string
	Repository string // "acme/shop"
	// Token returns a personal access token. It is asked before every request,
	// so that a token replaced on disk counts at once. Such a token cannot write
	// checks, and its commits are not signed by GitHub.
	Token func(context.Context) (string, error)
	App   *App
	// Transport carries the requests; Go's default if nil.
	Transport http.RoundTripper
	// Observe is told of every request that was answered or failed; for metrics.
	Observe func(Exchange)
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	Log zerolog.Logger
}

// App is an installation of a GitHub App.
type App struct {
	ID, Installation int64
	PrivateKey       []byte // PEM
}

// Exchange is one request to GitHub.
type Exchange struct {
	Method string
	Status int  // 0 if no answer came
	Cached bool // unchanged since it was last read, which costs no quota
	// Remaining is what is left of the hourly quota; -1 if not told.
	Remaining int
}

// Forge is one repository on GitHub. It is safe for concurrent use.
type Forge struct {
	client *github.Client
	// asApp is authenticated as the App itself; nil with a token.
	asApp       *github.Client
	appID       int64
	owner, repo string
	// token is the one that requests are made with; for an App it is renewed
	// before it expires.
	token func(context.Context) (string, error)
	log   zerolog.Logger

	mu    sync.Mutex
	me    *account
	marks *checks
	known *known
	// method is how pull requests are merged here; empty until looked up.
	method string
}

// New makes the forge of a repository. It sends nothing yet.
func New(o Options) (*Forge, error) {
	if o.URL == "" {
		o.URL = "https://api.github.com"
	}
	root, err := url.Parse(strings.TrimSuffix(o.URL, "/") + "/")
	switch {
	case err != nil, root.Host == "", root.Scheme != "https" && root.Scheme != "http":
		return nil, errors.New("github: the API's address is no URL; write it like https://api.github.com or https://HOST/api/v3")
	case root.User != nil:
		return nil, errors.New("github: the API's address holds a user or password; give credentials as a token or App")
	}
	owner, repo, ok := strings.Cut(o.Repository, "/")
	if !ok || owner == "" || repo == "" || strings.ContainsAny(repo, "/?#") {
		return nil, fmt.Errorf("github: repository %q is not written owner/name", o.Repository)
	}
	if (o.Token == nil) == (o.App == nil) {
		return nil, errors.New("github: give either a token or an App")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}

	wire := newTransport(o)
	f := &Forge{owner: owner, repo: repo, log: o.Log, marks: newChecks(), known: newKnown()}
	if o.App == nil {
		f.client, f.token = newClient(root, &tokenTransport{token: o.Token, next: wire}), o.Token
		return f, nil
	}
	app, err := ghinstallation.NewAppsTransport(wire, o.App.ID, o.App.PrivateKey)
	if err != nil {
		return nil, errors.New("github: the App's private key cannot be read; give it the PEM file that GitHub hands out")
	}
	app.BaseURL = strings.TrimSuffix(root.String(), "/")
	f.appID = o.App.ID
	f.asApp = newClient(root, app)
	installation := ghinstallation.NewFromAppsTransport(app, o.App.Installation)
	f.client, f.token = newClient(root, installation), installation.Token
	return f, nil
}

// requestTimeout bounds one request with its answer.
const requestTimeout = 30 * time.Second

func newClient(root *url.URL, auth http.RoundTripper) *github.Client {
	client := github.NewClient(&http.Client{
		Transport: auth,
		Timeout:   requestTimeout,
		// GitHub redirects when a repository was renamed. Credentials are added
		// to every request, so they must not follow to another host.
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Host != root.Host || r.URL.Scheme != root.Scheme || len(via) > 3 {
				return errors.New("GitHub redirects elsewhere; configure the address it redirects to")
			}
			return nil
		},
	})
	client.BaseURL = root
	client.UserAgent = "pawl"
	return client
}

// account is who the agent is on GitHub.
type account struct {
	id    int64
	login string
}

// whoami is the account under which the agent's pull requests and commits appear.
func (f *Forge) whoami(ctx context.Context) (account, error) {
	f.mu.Lock()
	known := f.me
	f.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	const doing = "find out as whom the agent acts on GitHub"
	login := ""
	if f.asApp != nil {
		app, _, err := f.asApp.Apps.Get(ctx, "")
		if err != nil {
			return account{}, failure(doing, "", err)
		}
		login = app.GetSlug() + "[bot]"
	}
	user, _, err := f.client.Users.Get(ctx, login)
	if err != nil {
		return account{}, failure(doing, "", err)
	}
	me := account{id: user.GetID(), login: user.GetLogin()}
	f.mu.Lock()
	f.me = &me
	f.mu.Unlock()
	return me, nil
}

func commitOf(sha string) gitsync.Commit { return gitsync.Commit(strings.ToLower(sha)) }

var _ interface {
	Report(context.Context, promote.Report) error
	Propose(context.Context, promote.Proposal) (promote.PullRequest, error)
	Merge(context.Context, promote.PullRequest) error
	Commit(context.Context, string, gitsync.Commit, string, map[string][]byte) (gitsync.Commit, error)
} = (*Forge)(nil)
