package github_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gogithub "github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/git"
	standin "github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/promote/github"
)

const (
	shop    = "acme/shop"
	overlay = "apps/web/overlays/staging/kustomization.yaml"
)

// world is one GitHub with a repository, an App, and ann who may write. A
// request or answer that breaks GitHub's description fails the test.
type world struct {
	*standin.Server
	t     *testing.T
	repo  *git.Repository
	app   standin.Installed
	ann   *standin.Person
	clock *clock
	head  gitsync.Commit
}

var everything = map[string]string{"contents": "write", "pull_requests": "write", "checks": "write", "statuses": "write", "issues": "write"}

func start(t *testing.T) *world {
	t.Helper()
	return startAs(t, standin.Options{UnknownMergeability: -1}, everything)
}

func startAs(t *testing.T, options standin.Options, permissions map[string]string) *world {
	t.Helper()
	server, err := standin.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Server: server, t: t, clock: &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}}
	t.Cleanup(func() {
		_ = server.Close()
		for _, v := range server.Violations() {
			t.Errorf("GitHub would not: %s", v)
		}
	})
	w.repo, err = server.CreateRepo("acme", "shop")
	w.must(err)
	w.ann, err = server.Person("ann")
	w.must(err)
	w.app, err = server.AddApp(standin.App{Name: "pawl", Permissions: permissions})
	w.must(err)
	w.head = w.push("main", map[string]string{overlay: kustomization("0"), "README.md": "shop\n"})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// push commits as ann.
func (w *world) push(branch string, files map[string]string) gitsync.Commit {
	w.t.Helper()
	sha, err := w.ann.Push(w.t.Context(), shop, git.Commit{Branch: branch, Write: files})
	w.must(err)
	return gitsync.Commit(sha)
}

func (w *world) resolve(revision string) gitsync.Commit {
	w.t.Helper()
	sha, err := w.repo.Resolve(w.t.Context(), revision)
	w.must(err)
	return gitsync.Commit(sha)
}

func (w *world) read(revision, path string) string {
	w.t.Helper()
	text, err := w.repo.ReadFile(w.t.Context(), revision, path)
	w.must(err)
	return text
}

// forge is the agent's, as if it had just started. It is the App's.
func (w *world) forge(change ...func(*github.Options)) *github.Forge {
	w.t.Helper()
	o := github.Options{
		URL: w.URL(), Repository: shop, Now: w.clock.Now,
		App: &github.App{ID: w.app.ID, Installation: w.app.InstallationID, PrivateKey: w.app.PrivateKey},
	}
	for _, c := range change {
		c(&o)
	}
	f, err := github.New(o)
	w.must(err)
	return f
}

// as makes a forge use a personal access token.
func as(token string) func(*github.Options) {
	return func(o *github.Options) {
		o.App = nil
		o.Token = func(context.Context) (string, error) { return token, nil }
	}
}

// sent are the requests so far that were not about who asks, as "POST pulls".
func (w *world) sent() []string {
	var out []string
	for _, r := range w.Requests() {
		path, ok := strings.CutPrefix(r.Path, "/repos/"+shop+"/")
		if ok {
			out = append(out, r.Method+" "+path)
		}
	}
	w.ForgetRequests()
	return out
}

func writes(requests []string) []string {
	return slices.DeleteFunc(slices.Clone(requests), func(r string) bool { return strings.HasPrefix(r, "GET ") })
}

func (w *world) pulls(state string) []*gogithub.PullRequest {
	w.t.Helper()
	pulls, _, err := w.ann.API().PullRequests.List(w.t.Context(), "acme", "shop", &gogithub.PullRequestListOptions{State: state})
	w.must(err)
	return pulls
}

func (w *world) runs(commit gitsync.Commit, filter string) []*gogithub.CheckRun {
	w.t.Helper()
	list, _, err := w.ann.API().Checks.ListCheckRunsForRef(w.t.Context(), "acme", "shop", string(commit), &gogithub.ListCheckRunsOptions{Filter: &filter})
	w.must(err)
	return list.CheckRuns
}

func (w *world) statuses(commit gitsync.Commit) []*gogithub.RepoStatus {
	w.t.Helper()
	list, _, err := w.ann.API().Repositories.ListStatuses(w.t.Context(), "acme", "shop", string(commit), nil)
	w.must(err)
	return list
}

// clock is a time that only moves when told.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func kustomization(c string) string {
	return "resources: [../../base]\nimages:\n  - name: ghcr.io/acme/web # ours\n    digest: " + digest(c) + "\n"
}

// proposal moves web in staging from the digest 0 to another.
func (w *world) proposal(to string) promote.Proposal {
	return w.proposalOn(w.head, to)
}

func (w *world) proposalOn(base gitsync.Commit, to string) promote.Proposal {
	w.t.Helper()
	return promote.Propose("staging", promote.Batch{Application: "web", Moves: []promote.Move{{
		Target:     environments.Target{Environment: "staging", Application: "web", Overlay: "apps/web/overlays/staging"},
		Repository: "ghcr.io/acme/web", From: digest("0"), To: digest(to), Tag: "1." + to,
		Passed: []promote.Passed{{Environment: "dev", Commit: base, Since: w.clock.Now()}},
	}}}, promote.Base{Branch: "main", Commit: base, Files: map[string][]byte{overlay: []byte(kustomization(to))}})
}

func (w *world) propose(f *github.Forge, p promote.Proposal) promote.PullRequest {
	w.t.Helper()
	pr, err := f.Propose(w.t.Context(), p)
	w.must(err)
	return pr
}

func path(expression string) standin.Match {
	return standin.Match{Path: regexp.MustCompile(expression)}
}

func once(f standin.Fault) standin.Fault {
	f.Times = 1
	return f
}

func is[E error](err error) (E, bool) {
	var e E
	ok := errors.As(err, &e)
	return e, ok
}
