package github

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	gogithub "github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// world is one GitHub with a repository, an App and somebody listening. A
// message that breaks GitHub's description fails the test it belongs to.
type world struct {
	*Server
	t    *testing.T
	repo *git.Repository
	app  Installed
	bot  *gogithub.Client
	ann  *Person
	bob  *Person
	hook *listener
}

const (
	shop   = "acme/shop"
	secret = "It's a Secret to Everybody"
)

func start(t *testing.T, options Options) *world {
	t.Helper()
	s, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Server: s, t: t, hook: &listener{}}
	receiver := httptest.NewServer(w.hook)
	t.Cleanup(func() {
		receiver.CloseClientConnections()
		_ = s.Close()
		receiver.Close()
		for _, v := range s.Violations() {
			t.Errorf("GitHub would not: %s", v)
		}
	})
	w.repo, err = s.CreateRepo("acme", "shop")
	w.must(err)
	w.ann, err = s.Person("ann")
	w.must(err)
	w.bob, err = s.Person("bob")
	w.must(err)
	w.app, err = s.AddApp(App{
		Name:        "pawl",
		Permissions: map[string]string{"contents": "write", "pull_requests": "write", "checks": "write", "statuses": "write", "issues": "write"},
		Events:      []string{"push", "pull_request", "pull_request_review", "check_run", "check_suite", "status", "issue_comment", "create", "delete"},
		WebhookURL:  receiver.URL, WebhookSecret: secret,
	})
	w.must(err)
	w.bot, err = s.InstallationClient(w.app)
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// push commits files to a branch as ann.
func (w *world) push(branch string, files map[string]string) string {
	w.t.Helper()
	sha, err := w.ann.Push(w.t.Context(), shop, git.Commit{Branch: branch, Write: files})
	w.must(err)
	return sha
}

// branchOff makes a branch at main's tip with one commit more.
func (w *world) branchOff(branch string, files map[string]string) string {
	w.t.Helper()
	sha, err := w.ann.Push(w.t.Context(), shop, git.Commit{Branch: branch, From: "main", Write: files})
	w.must(err)
	return sha
}

func (w *world) pull(n int) *gogithub.PullRequest {
	w.t.Helper()
	p, _, err := w.bot.PullRequests.Get(w.t.Context(), "acme", "shop", n)
	w.must(err)
	return p
}

// mergeable reads a pull request until GitHub knows.
func (w *world) mergeable(n int) (bool, string) {
	w.t.Helper()
	for range 5 {
		if p := w.pull(n); p.Mergeable != nil {
			return *p.Mergeable, p.GetMergeableState()
		}
	}
	w.t.Fatal("GitHub never learns whether the pull request is mergeable")
	return false, ""
}

func wantStatus(t *testing.T, err error, want int) {
	t.Helper()
	var failed *gogithub.ErrorResponse
	if !errors.As(err, &failed) || failed.Response.StatusCode != want {
		t.Errorf("got %v, want status %d", err, want)
	}
}

// event is a webhook as it arrived.
type event struct {
	Name, Action, GUID, Signature string
	Body                          []byte
	Payload                       map[string]any
}

type listener struct {
	mu     sync.Mutex
	events []event
	answer int
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e := event{Name: r.Header.Get("X-GitHub-Event"), GUID: r.Header.Get("X-GitHub-Delivery"), Signature: r.Header.Get("X-Hub-Signature-256"), Body: body}
	_ = json.Unmarshal(body, &e.Payload)
	e.Action, _ = e.Payload["action"].(string)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	if l.answer != 0 {
		w.WriteHeader(l.answer)
	}
}

// heard waits until nothing is on its way and gives the events of a name.
func (w *world) heard(name string) []event {
	w.t.Helper()
	w.must(w.Quiet(w.t.Context()))
	w.hook.mu.Lock()
	defer w.hook.mu.Unlock()
	var out []event
	for _, e := range w.hook.events {
		if e.Name == name {
			out = append(out, e)
		}
	}
	return out
}

func (w *world) forget() {
	w.t.Helper()
	w.must(w.Quiet(w.t.Context()))
	w.hook.mu.Lock()
	defer w.hook.mu.Unlock()
	w.hook.events = nil
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

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
