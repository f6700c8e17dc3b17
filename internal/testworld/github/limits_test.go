package github

import (
	"errors"
	"net/http"
	"regexp"
	"testing"
	"time"

	gogithub "github.com/google/go-github/v60/github"
)

func TestAnAnswerThatDidNotChangeCostsNothing(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	w.push("main", map[string]string{"a.txt": "one\n"})
	get := func(tag string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL()+"/api/v3/repos/acme/shop/git/ref/heads/main", nil)
		w.must(err)
		request.Header.Set("Authorization", "Bearer "+w.ann.Token)
		if tag != "" {
			request.Header.Set("If-None-Match", tag)
		}
		response, err := http.DefaultClient.Do(request)
		w.must(err)
		response.Body.Close()
		return response
	}
	first := get("")
	again := get("W/" + first.Header.Get("ETag"))
	if again.StatusCode != 304 || again.Header.Get("X-RateLimit-Remaining") != first.Header.Get("X-RateLimit-Remaining") {
		t.Errorf("answered %d with %s left of %s", again.StatusCode, again.Header.Get("X-RateLimit-Remaining"), first.Header.Get("X-RateLimit-Remaining"))
	}
	w.push("main", map[string]string{"a.txt": "two\n"})
	if changed := get(first.Header.Get("ETag")); changed.StatusCode != 200 || changed.Header.Get("X-RateLimit-Used") != "2" {
		t.Errorf("after a push: %d, %s used", changed.StatusCode, changed.Header.Get("X-RateLimit-Used"))
	}
}

func TestAnHoursQuotaEnds(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := start(t, Options{Clock: now.Now, RateLimit: 3})
	api := w.ann.API()
	for range 3 {
		_, _, err := api.Repositories.Get(t.Context(), "acme", "shop")
		w.must(err)
	}
	_, _, err := api.Repositories.Get(t.Context(), "acme", "shop")
	var limited *gogithub.RateLimitError
	if !errors.As(err, &limited) || limited.Rate.Remaining != 0 || limited.Rate.Limit != 3 {
		t.Errorf("the fourth request gave %v", err)
	}
	now.Advance(61 * time.Minute)
	fresh, err := w.Client(w.ann.Token) // go-github remembers that it was refused
	w.must(err)
	_, _, err = fresh.Repositories.Get(t.Context(), "acme", "shop")
	w.must(err)
}

func TestFaultsOfTheAPI(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	w.push("main", map[string]string{"a.txt": "one\n"})
	w.branchOff("bump", map[string]string{"a.txt": "two\n"})
	client := func() *gogithub.Client {
		t.Helper()
		c, err := w.Client(w.ann.Token)
		w.must(err)
		return c
	}
	pulls := regexp.MustCompile(`^/repos/acme/shop/pulls$`)
	open := func() error {
		_, _, err := client().PullRequests.Create(ctx, "acme", "shop", &gogithub.NewPullRequest{Title: gogithub.String("bump"), Head: gogithub.String("bump"), Base: gogithub.String("main")})
		return err
	}
	count := func() int {
		t.Helper()
		list, _, err := client().PullRequests.List(ctx, "acme", "shop", nil)
		w.must(err)
		return len(list)
	}

	heal := w.Fail(Match{Method: "POST", Path: pulls}, ServerError(502))
	wantStatus(t, open(), 502)
	heal()
	heal()
	if n := count(); n != 0 {
		t.Errorf("%d pull requests after a 502 without effect", n)
	}
	w.Fail(Match{Method: "POST", Path: pulls}, Fault{Reset: true, AfterEffect: true, Times: 1})
	if err := open(); err == nil {
		t.Error("a lost reply arrived")
	}
	if n := count(); n != 1 {
		t.Errorf("%d pull requests after a lost reply", n)
	}
	wantStatus(t, open(), 422) // there is one already

	heal = w.Fail(Match{Path: pulls}, SecondaryLimit(403, 7*time.Second))
	var abuse *gogithub.AbuseRateLimitError
	if err := open(); !errors.As(err, &abuse) || abuse.GetRetryAfter() != 7*time.Second {
		t.Errorf("a secondary limit with Retry-After gave %v", err)
	}
	heal()
	heal = w.Fail(Match{Path: pulls}, SecondaryLimit(429, 0))
	wantStatus(t, open(), 429)
	heal()
	heal = w.Fail(Match{Path: pulls}, PrimaryLimit(403, time.Now().Add(time.Hour)))
	var limited *gogithub.RateLimitError
	if err := open(); !errors.As(err, &limited) {
		t.Errorf("a primary limit gave %v", err)
	}
	heal()

	var posts, faults int
	for _, r := range w.Requests() {
		if r.Method == "POST" && r.Path == "/repos/acme/shop/pulls" && r.User == "ann" && r.Token == "user" {
			posts++
			if r.Fault {
				faults++
			}
		}
	}
	if posts != 6 || faults != 5 {
		t.Errorf("the log has %d posts, %d of them faults", posts, faults)
	}
}
