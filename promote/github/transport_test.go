package github_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standin "github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/promote/github"
)

// catalogue 78
func TestLimitsAreKeptBySilence(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		fault     func(w *world) standin.Fault
		silence   time.Duration
		secondary bool
	}{
		"429 with Retry-After":              {func(*world) standin.Fault { return standin.SecondaryLimit(429, 90*time.Second) }, 90 * time.Second, true},
		"403 with Retry-After":              {func(*world) standin.Fault { return standin.SecondaryLimit(403, 30*time.Second) }, 30 * time.Second, true},
		"403 that names no time":            {func(*world) standin.Fault { return standin.SecondaryLimit(403, 0) }, time.Minute, true},
		"429 that names no time":            {func(*world) standin.Fault { return standin.SecondaryLimit(429, 0) }, time.Minute, true},
		"the hour's quota, as 403":          {func(w *world) standin.Fault { return standin.PrimaryLimit(403, w.clock.Now().Add(20*time.Minute)) }, 20 * time.Minute, false},
		"the hour's quota, as 429":          {func(w *world) standin.Fault { return standin.PrimaryLimit(429, w.clock.Now().Add(20*time.Minute)) }, 20 * time.Minute, false},
		"a reset in ten days is not obeyed": {func(w *world) standin.Fault { return standin.PrimaryLimit(403, w.clock.Now().Add(240*time.Hour)) }, 61 * time.Minute, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			f := w.forge()
			heal := w.Fail(path("/check-runs"), c.fault(w))
			r := w.report(promote.Queued, "queued")
			limited, ok := is[*promote.RateLimited](f.Report(t.Context(), r))
			if !ok || limited.Until.Sub(w.clock.Now()) != c.silence || limited.Secondary != c.secondary {
				t.Fatalf("got %v, want a silence of %s", limited, c.silence)
			}
			heal()
			w.ForgetRequests()
			w.clock.Advance(c.silence - time.Second)
			if _, ok := is[*promote.RateLimited](f.Report(t.Context(), r)); !ok || len(w.Requests()) != 0 {
				t.Errorf("during the silence it sent %v", w.Requests())
			}
			w.clock.Advance(time.Second)
			w.must(f.Report(t.Context(), r))
		})
	}
}

// catalogue 78
func TestSecondaryLimitsThatNameNoTimeGrow(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	r := w.report(promote.Queued, "queued")
	heal := w.Fail(path("/check-runs"), standin.SecondaryLimit(403, 0))
	silence := func() time.Duration {
		limited, ok := is[*promote.RateLimited](f.Report(t.Context(), r))
		if !ok {
			t.Fatal("no limit")
		}
		d := limited.Until.Sub(w.clock.Now())
		w.clock.Advance(d)
		return d
	}
	for i, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		if got := silence(); got != want {
			t.Errorf("silence %d lasts %s, want %s", i+1, got, want)
		}
	}
	heal()
	w.must(f.Report(t.Context(), r))
	w.Fail(path("/check-runs"), standin.SecondaryLimit(403, 0))
	r.Title = "other"
	if got := silence(); got != time.Minute {
		t.Errorf("after a success the silence lasts %s", got)
	}
}

// The stand-in counts as GitHub does: the request after the last one is refused.
func TestTheQuotaIsNotOverrun(t *testing.T) {
	t.Parallel()
	now := &clock{now: time.Now().UTC().Truncate(time.Second)}
	w := startAs(t, standin.Options{RateLimit: 4, Clock: now.Now}, everything)
	w.clock = now
	f := w.forge(as(w.AddUser("robot")))
	var limited *promote.RateLimited
	for i := 0; limited == nil && i < 10; i++ {
		limited, _ = is[*promote.RateLimited](f.Report(t.Context(), w.report(promote.InProgress, fmt.Sprint(i))))
	}
	if limited == nil || limited.Secondary || !limited.Until.After(now.Now()) {
		t.Fatalf("got %v", limited)
	}
	for _, r := range w.Requests() {
		if r.Status == http.StatusForbidden && r.User == "robot" && !strings.Contains(r.Path, "check-runs") {
			t.Errorf("it asked beyond its quota: %+v", r)
		}
	}
	now.Advance(limited.Until.Sub(now.Now()))
	w.must(f.Report(t.Context(), w.report(promote.Success, "done")))
}

func TestUnchangedAnswersCostNoQuota(t *testing.T) {
	t.Parallel()
	w := start(t)
	var mu sync.Mutex
	var seen []github.Exchange
	f := w.forge(func(o *github.Options) {
		o.Observe = func(e github.Exchange) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, e)
		}
	})
	p := w.proposal("1")
	w.propose(f, p)
	w.propose(f, p) // GitHub works out the test merge now, which the list shows
	first := w.propose(f, p)
	mu.Lock()
	seen = nil
	mu.Unlock()
	if again := w.propose(f, p); again != first {
		t.Errorf("got %+v, then %+v", first, again)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 2 || !seen[0].Cached || !seen[1].Cached || seen[0].Method != "GET" || seen[0].Remaining < 0 {
		t.Errorf("an idle look was %+v", seen)
	}
}

func TestAnAppsTokenIsFetchedOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	for i := range 5 {
		w.must(f.Report(t.Context(), w.report(promote.InProgress, fmt.Sprint(i))))
	}
	tokens := 0
	for _, r := range w.Requests() {
		if strings.HasSuffix(r.Path, "/access_tokens") {
			tokens++
		}
	}
	if tokens != 1 {
		t.Errorf("%d tokens for five requests", tokens)
	}
}

// catalogue 82
func TestATokenReplacedOnDiskCountsAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	file := filepath.Join(t.TempDir(), "token")
	old := w.AddUser("robot")
	w.must(os.WriteFile(file, []byte(old+"\n"), 0o600))
	f := w.forge(func(o *github.Options) {
		o.App = nil
		o.Token = func(context.Context) (string, error) {
			text, err := os.ReadFile(file)
			return string(text), err
		}
	})
	w.must(f.Report(t.Context(), w.report(promote.Queued, "queued")))
	w.RevokeToken(old)
	if _, ok := is[*promote.Denied](f.Report(t.Context(), w.report(promote.InProgress, "1"))); !ok {
		t.Error("a revoked token still works")
	}
	w.must(os.WriteFile(file, []byte(w.AddUser("robot")), 0o600))
	w.must(f.Report(t.Context(), w.report(promote.InProgress, "1")))
}

func TestGitHubBeingDownIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	heal := w.Fail(standin.Match{}, standin.ServerError(503))
	for what, err := range map[string]error{
		"report": f.Report(t.Context(), w.report(promote.Queued, "queued")),
		"propose": func() error {
			_, err := f.Propose(t.Context(), w.proposal("1"))
			return err
		}(),
		"commit": func() error {
			_, err := f.Commit(t.Context(), "main", w.head, "m", files("a"))
			return err
		}(),
	} {
		if _, ok := is[*promote.Unavailable](err); !ok {
			t.Errorf("%s: got %v", what, err)
		}
	}
	heal()
	w.must(f.Report(t.Context(), w.report(promote.Queued, "queued")))

	nobody := w.forge(func(o *github.Options) { o.URL = "http://127.0.0.1:1" })
	if _, ok := is[*promote.Unavailable](nobody.Report(t.Context(), w.report(promote.Queued, "queued"))); !ok {
		t.Error("nobody listens, and it is not tried again")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Report(ctx, w.report(promote.Success, "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("given up by the caller: %v", err)
	}
}

// catalogue 128: a server that says the token back, in every way it can.
func TestNoErrorHoldsASecret(t *testing.T) {
	t.Parallel()
	const planted = "ghp_plantedSecretThatMustNotShow0123456789"
	mode := atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said := r.Header.Get("Authorization")
		switch status := int(mode.Load()); status {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, "%s is no JSON", said)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"message":"%s","errors":[{"message":"%s"}]}`, said, said)
		}
	}))
	t.Cleanup(server.Close)
	f, err := github.New(github.Options{URL: server.URL, Repository: shop, Token: func(context.Context) (string, error) { return planted, nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []int32{0, 1, 400, 401, 403, 404, 405, 409, 422, 500, 502} {
		mode.Store(m)
		pr := promote.PullRequest{Number: 1}
		_, proposed := f.Propose(t.Context(), promote.Proposal{Branch: "b", BaseBranch: "main", Files: files("a")})
		_, committed := f.Commit(t.Context(), "main", "x", "m", files("a"))
		for _, err := range []error{f.Report(t.Context(), promote.Report{Commit: "abc", Environment: fmt.Sprint("e", m)}), proposed, committed, f.Merge(t.Context(), pr)} {
			if err == nil && m != 1 {
				t.Errorf("%d: no error", m)
			}
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, planted) {
				t.Errorf("%d: the secret is in %s", m, text)
			}
		}
	}
}

func TestCredentialsDoNotFollowARedirect(t *testing.T) {
	t.Parallel()
	var leaked atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked.Store(true)
	}))
	t.Cleanup(elsewhere.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	f, err := github.New(github.Options{URL: server.URL, Repository: shop, Token: func(context.Context) (string, error) { return "ghp_x", nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Report(t.Context(), promote.Report{Commit: "abc", Environment: "dev"}); err == nil || !strings.Contains(err.Error(), "redirects elsewhere") {
		t.Errorf("got %v", err)
	}
	if leaked.Load() {
		t.Error("another host was asked")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	token := func(context.Context) (string, error) { return "x", nil }
	for want, o := range map[string]github.Options{
		"is no URL":                         {URL: "ftp://x", Repository: shop, Token: token},
		"holds a user or password":          {URL: "https://a:planted@x", Repository: shop, Token: token},
		"is not written owner/name":         {Repository: "shop", Token: token},
		`repository "a/b/c" is not written`: {Repository: "a/b/c", Token: token},
		"give either a token or an App":     {Repository: shop},
		"either a token or an App":          {Repository: shop, Token: token, App: &github.App{}},
		"private key cannot be read":        {Repository: shop, App: &github.App{ID: 1, Installation: 1, PrivateKey: []byte("planted")}},
	} {
		if _, err := github.New(o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// An App whose installation is gone is told as that, and not as an outage.
func TestAnAppThatIsNotInstalled(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge(func(o *github.Options) { o.App.Installation++ })
	err := f.Report(t.Context(), w.report(promote.Queued, "queued"))
	if denied, ok := is[*promote.Denied](err); !ok || !strings.Contains(denied.Message, "its installation") {
		t.Errorf("got %v", err)
	}
}

// Writes go one by one, as GitHub asks.
func TestWritesGoOneByOne(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	w := start(t)
	f := w.forge(func(o *github.Options) {
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
			}
			return http.DefaultTransport.RoundTrip(r)
		})
	})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r := w.report(promote.Queued, "queued")
			r.Environment = fmt.Sprint("e", i)
			if err := f.Report(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d writes at once", most.Load())
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
