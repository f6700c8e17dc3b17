package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/gitsync/webhook"
)

const (
	secret = "planted"
	sha    = "8d2e1a7f00000000000000000000000000000001"
	push   = `{"ref":"refs/heads/main","after":"` + sha + `","deleted":false,"repository":{"full_name":"acme/shop"}}`
)

var now = time.Date(2026, 11, 20, 14, 2, 0, 0, time.UTC)

// endpoint is the handler behind a real server, and what it made known.
type endpoint struct {
	*httptest.Server
	mu      sync.Mutex
	events  []gitsync.Event
	answers []webhook.Answer
}

func listen(t testing.TB, change func(*webhook.Options)) *endpoint {
	t.Helper()
	e := &endpoint{}
	o := webhook.Options{
		Repository: "acme/shop", Branch: "main", App: 77,
		Secret: func() (string, error) { return secret, nil },
		Notify: func(event gitsync.Event) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.events = append(e.events, event)
		},
		Answered: func(a webhook.Answer) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.answers = append(e.answers, a)
		},
		Now: func() time.Time { return now },
	}
	if change != nil {
		change(&o)
	}
	h, err := webhook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	e.Server = httptest.NewServer(h)
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) seen() []gitsync.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]gitsync.Event(nil), e.events...)
}

func sign(body, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func (e *endpoint) post(t testing.TB, body string, headers map[string]string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-GitHub-Event", "push")
	for k, v := range headers {
		r.Header.Del(k)
		for _, one := range strings.Split(v, "|") {
			if one != "" {
				r.Header.Add(k, one)
			}
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(text))
}

// catalogue 63
func TestWhatIsNotSignedByOurSecretIsRefusedWithoutWork(t *testing.T) {
	t.Parallel()
	oldMAC := hmac.New(sha1.New, []byte(secret))
	oldMAC.Write([]byte(push))
	sha1Only := "sha1=" + hex.EncodeToString(oldMAC.Sum(nil))
	right := sign(push, secret)
	for name, headers := range map[string]map[string]string{
		"no signature":                          {},
		"an empty signature":                    {"X-Hub-Signature-256": "sha256="},
		"a wrong signature":                     {"X-Hub-Signature-256": "sha256=" + strings.Repeat("0", 64)},
		"one digit off":                         {"X-Hub-Signature-256": right[:len(right)-1] + string("0f"[btoi(right[len(right)-1] == '0')])},
		"another secret":                        {"X-Hub-Signature-256": sign(push, "other")},
		"the empty secret":                      {"X-Hub-Signature-256": sign(push, "")},
		"a signature of other bytes":            {"X-Hub-Signature-256": sign(push+" ", secret)},
		"a signature of an empty body":          {"X-Hub-Signature-256": sign("", secret)},
		"SHA-1 alone":                           {"X-Hub-Signature": sha1Only},
		"SHA-1 where SHA-256 belongs":           {"X-Hub-Signature-256": sha1Only},
		"no algorithm":                          {"X-Hub-Signature-256": strings.TrimPrefix(right, "sha256=")},
		"another algorithm":                     {"X-Hub-Signature-256": strings.Replace(right, "sha256", "sha512", 1)},
		"a part of the signature":               {"X-Hub-Signature-256": right[:len(right)-2]},
		"no hex":                                {"X-Hub-Signature-256": "sha256=" + strings.Repeat("z", 64)},
		"a wrong signature and the right one":   {"X-Hub-Signature-256": sign(push, "other") + "|" + right},
		"the right signature and a wrong one":   {"X-Hub-Signature-256": right + "|" + sign(push, "other")},
		"the right one where SHA-1 belongs":     {"X-Hub-Signature": right},
		"a signature over another content type": {"X-Hub-Signature-256": sign(push, "other"), "Content-Type": "text/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := listen(t, nil)
			status, text := e.post(t, push, headers)
			if status != http.StatusUnauthorized || len(e.seen()) > 0 {
				t.Errorf("%d %s, %d events", status, text, len(e.seen()))
			}
			if strings.Contains(text, secret) || strings.Contains(text, strings.TrimPrefix(right, "sha256=")) {
				t.Errorf("the answer gives the secret or the right signature away: %s", text)
			}
		})
	}
	e := listen(t, nil)
	if status, text := e.post(t, push, map[string]string{"X-Hub-Signature-256": right, "X-Hub-Signature": sha1Only}); status != http.StatusAccepted || len(e.seen()) != 1 {
		t.Errorf("the right signature: %d %s, %d events", status, text, len(e.seen()))
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// catalogue 63
func TestWithoutASecretNothingListens(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func() (string, error){
		"empty":      func() (string, error) { return "", nil },
		"blank":      func() (string, error) { return " \n", nil },
		"unreadable": func() (string, error) { return "", errors.New("no such file") },
		"none":       nil,
	} {
		_, err := webhook.New(webhook.Options{Repository: "acme/shop", Branch: "main", Secret: read, Notify: func(gitsync.Event) {}})
		if err == nil {
			t.Errorf("%s: it listens", name)
		}
	}
}

// catalogue 82: also when it becomes empty while the agent runs.
func TestARenewedSecretCountsAtOnceAndAnEmptyOneNever(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	current, failure := "first", error(nil)
	e := listen(t, func(o *webhook.Options) {
		o.Secret = func() (string, error) {
			mu.Lock()
			defer mu.Unlock()
			return current, failure
		}
	})
	for _, step := range []struct {
		secret  string
		failure error
		signed  string
		want    int
	}{
		{"first", nil, "first", 202},
		{"second", nil, "first", 401},
		{"second", nil, "second", 202},
		{"", nil, "", 500},
		{"\n", nil, "\n", 500},
		{"second", errors.New("planted cause"), "second", 500},
		{"second", nil, "second", 202},
	} {
		mu.Lock()
		current, failure = step.secret, step.failure
		mu.Unlock()
		if status, text := e.post(t, push, map[string]string{"X-Hub-Signature-256": sign(push, step.signed)}); status != step.want || strings.Contains(text, "planted") {
			t.Errorf("secret %q, signed with %q: %d %s", step.secret, step.signed, status, text)
		}
	}
	if n := len(e.seen()); n != 3 {
		t.Errorf("%d events", n)
	}
}

// The vector of GitHub's documentation: authenticated, and then no JSON.
func TestGitHubsOwnVector(t *testing.T) {
	t.Parallel()
	e := listen(t, func(o *webhook.Options) {
		o.Secret = func() (string, error) { return "It's a Secret to Everybody", nil }
	})
	const signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	if status, text := e.post(t, "Hello, World!", map[string]string{"X-Hub-Signature-256": signature}); status != http.StatusBadRequest {
		t.Errorf("%d %s", status, text)
	}
	if status, _ := e.post(t, "Hello, World?", map[string]string{"X-Hub-Signature-256": signature}); status != http.StatusUnauthorized {
		t.Errorf("other bytes: %d", status)
	}
}

func TestDeliveriesBecomeEvents(t *testing.T) {
	t.Parallel()
	const repo = `"repository":{"full_name":"acme/shop"}`
	pr := func(base string) string {
		return `{"action":"synchronize","number":7,"pull_request":{"number":7,"base":{"ref":"` + base + `"},"head":{"sha":"` + sha + `"}},` + repo + `}`
	}
	check := func(kind, action string, app int) string {
		return fmt.Sprintf(`{"action":%q,%q:{"head_sha":%q,"app":{"id":%d}},%s}`, action, kind, sha, app, repo)
	}
	branch := &gitsync.Event{Repository: "acme/shop", Branch: "main", Commit: sha, Subject: gitsync.AboutBranch}
	request := &gitsync.Event{Repository: "acme/shop", Branch: "main", Commit: sha, Subject: gitsync.AboutPullRequest}
	checks := &gitsync.Event{Repository: "acme/shop", Commit: sha, Subject: gitsync.AboutChecks}
	for name, c := range map[string]struct {
		kind, body string
		status     int
		text       string
		event      *gitsync.Event
	}{
		"a push":                          {"push", push, 202, "accepted: push", branch},
		"in another spelling of the name": {"push", strings.Replace(push, "acme/shop", "Acme/Shop", 1), 202, "accepted: push", branch},
		"a deleted branch":                {"push", `{"ref":"refs/heads/main","after":"0000000000000000000000000000000000000000","deleted":true,` + repo + `}`, 202, "accepted: the branch was deleted", &gitsync.Event{Repository: "acme/shop", Branch: "main", Subject: gitsync.AboutBranch}},
		"another branch":                  {"push", strings.Replace(push, "heads/main", "heads/maintenance", 1), 202, "ignored: not the branch that is watched", nil},
		"a tag called like the branch":    {"push", strings.Replace(push, "heads/main", "tags/main", 1), 202, "ignored: not the branch that is watched", nil},
		"another repository":              {"push", strings.Replace(push, "acme/shop", "acme/web", 1), 202, "ignored: not the repository that is watched", nil},
		"a pull request into the branch":  {"pull_request", pr("main"), 202, "accepted: pull request 7", request},
		"a pull request into another":     {"pull_request", pr("next"), 202, "ignored: the pull request does not go into the branch that is watched", nil},
		"a review":                        {"pull_request_review", pr("main"), 202, "accepted: pull request 7", request},
		"a check that is completed":       {"check_run", check("check_run", "completed", 5), 202, "accepted: check", checks},
		"a check that is created":         {"check_run", check("check_run", "created", 5), 202, "ignored: the check is not completed", nil},
		"our own check":                   {"check_run", check("check_run", "completed", 77), 202, "ignored: our own check", nil},
		"our own check, asked for again":  {"check_run", check("check_run", "rerequested", 77), 202, "accepted: check", checks},
		"a suite that is completed":       {"check_suite", check("check_suite", "completed", 5), 202, "accepted: check", checks},
		"a status":                        {"status", `{"sha":"` + sha + `","state":"success",` + repo + `}`, 202, "accepted: status", checks},
		"a status that is pending":        {"status", `{"sha":"` + sha + `","state":"pending",` + repo + `}`, 202, "ignored: the status is pending", nil},
		"an image, by registry_package":   {"registry_package", `{"action":"published","registry_package":{"name":"web","namespace":"acme","package_type":"CONTAINER","package_version":{"metadata":[]}},"repository":{"full_name":"acme/web"}}`, 202, "accepted: image", &gitsync.Event{Repository: "acme/web", Subject: gitsync.AboutPackage}},
		"an image, by package":            {"package", `{"action":"published","package":{"name":"web","package_type":"container","package_version":{"metadata":{}}},"repository":null}`, 202, "accepted: image", &gitsync.Event{Subject: gitsync.AboutPackage}},
		"a package that is no image":      {"package", `{"package":{"name":"web","package_type":"npm"}}`, 202, "ignored: the package is no container image", nil},
		"a ping":                          {"ping", `{"zen":"Keep it logically awesome."}`, 202, "ignored: pong", nil},
		"an event of no interest":         {"fork", `{}`, 202, "ignored: fork is of no interest; it can be left out of the webhook's events", nil},
		// catalogue 65
		"no JSON":                     {"push", "Hello", 400, "", nil},
		"nothing":                     {"push", "", 400, "", nil},
		"null":                        {"push", "null", 400, "repository.full_name is missing", nil},
		"a list":                      {"push", "[]", 400, "", nil},
		"a repository that is text":   {"push", `{"repository":"acme/shop"}`, 400, "", nil},
		"a repository without a name": {"push", `{"ref":"refs/heads/main","repository":{}}`, 400, "repository.full_name is missing", nil},
		"a ref that is a number":      {"push", `{"ref":1,` + repo + `}`, 400, "", nil},
		"no ref":                      {"push", `{` + repo + `}`, 400, "ref is missing", nil},
		"no commit":                   {"push", `{"ref":"refs/heads/main",` + repo + `}`, 400, "the commit id is missing or none", nil},
		"a commit that is an option":  {"push", strings.Replace(push, sha, "--upload-pack=x", 1), 400, "the commit id is missing or none", nil},
		"a pull request that is null": {"pull_request", `{"pull_request":null,` + repo + `}`, 400, "pull_request.base.ref is missing", nil},
		"a check that is null":        {"check_run", `{"action":"completed","check_run":null,` + repo + `}`, 400, "the check is missing", nil},
		"a package that is null":      {"registry_package", `{"registry_package":null}`, 400, "the package is missing", nil},
		"no kind":                     {"", push, 400, "X-GitHub-Event is missing", nil},
		"deep nesting":                {"push", strings.Repeat("[", 100_000), 400, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := listen(t, nil)
			status, text := e.post(t, c.body, map[string]string{"X-Hub-Signature-256": sign(c.body, secret), "X-GitHub-Event": c.kind})
			if status != c.status || c.text != "" && text != c.text {
				t.Errorf("%d %s; want %d %s", status, text, c.status, c.text)
			}
			var want []gitsync.Event
			if c.event != nil {
				event := *c.event
				event.Origin, event.At = gitsync.FromWebhook, now
				want = append(want, event)
			}
			if diff := cmp.Diff(want, e.seen()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOnlyJSONByPOSTIsTaken(t *testing.T) {
	t.Parallel()
	e := listen(t, nil)
	form := "payload=" + push
	for _, kind := range []string{"application/x-www-form-urlencoded", "", "text/plain"} {
		if status, text := e.post(t, form, map[string]string{"X-Hub-Signature-256": sign(form, secret), "Content-Type": kind}); status != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %d %s", kind, status, text)
		}
	}
	if status, text := e.post(t, push, map[string]string{"X-Hub-Signature-256": sign(push, secret), "Content-Type": "application/json; charset=utf-8"}); status != http.StatusAccepted {
		t.Errorf("with a charset: %d %s", status, text)
	}
	response, err := http.Get(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d", response.StatusCode)
	}
}

// catalogue 64
func TestWhatIsTooLargeIsRefusedBeforeItIsAuthenticated(t *testing.T) {
	t.Parallel()
	e := listen(t, func(o *webhook.Options) { o.MaxBytes = 1 << 10 })
	large := strings.Repeat("x", 1<<10+1)
	if status, _ := e.post(t, large, map[string]string{"X-Hub-Signature-256": sign(large, secret)}); status != http.StatusRequestEntityTooLarge {
		t.Errorf("with a length: %d", status)
	}
	// Chunked and without end: the server must hang up, not read on.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := 0
	endless := readerFunc(func(p []byte) (int, error) {
		if sent += len(p); sent > 64<<20 {
			return 0, errors.New("read on and on")
		}
		return len(p), nil
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, endless)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Hub-Signature-256", sign("", secret))
	if response, err := http.DefaultClient.Do(r); err == nil {
		response.Body.Close()
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("chunked: %d", response.StatusCode)
		}
	} else if strings.Contains(err.Error(), "on and on") {
		t.Error(err)
	}
	if len(e.seen()) > 0 {
		t.Error("there was an event")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// catalogue 64: and others are answered meanwhile.
func TestSlowSendersAreCutOffAndHoldUpNobody(t *testing.T) {
	t.Parallel()
	e := listen(t, func(o *webhook.Options) {
		o.MaxTime = 200 * time.Millisecond
	})
	address := strings.TrimPrefix(e.URL, "http://")
	var slow []net.Conn
	for range 8 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: %s\r\nContent-Length: 100\r\n\r\n{", sign("", secret))
		slow = append(slow, c)
		unsigned, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer unsigned.Close()
		fmt.Fprint(unsigned, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
		slow = append(slow, unsigned)
	}
	if status, text := e.post(t, push, map[string]string{"X-Hub-Signature-256": sign(push, secret)}); status != http.StatusAccepted {
		t.Errorf("another: %d %s", status, text)
	}
	for _, c := range slow {
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil || !bytes.Contains(answer, []byte("408")) && !bytes.Contains(answer, []byte("401")) {
			t.Errorf("%v %q", err, answer)
		}
	}
}

func TestAnswersAreMadeKnownInTextThatIsSafeToLog(t *testing.T) {
	t.Parallel()
	e := listen(t, nil)
	e.post(t, push, map[string]string{"X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958", "X-Hub-Signature-256": sign(push, secret)})
	e.post(t, push, map[string]string{"X-GitHub-Delivery": strings.Repeat("é", 100), "X-GitHub-Event": "\u202epush"})
	e.mu.Lock()
	defer e.mu.Unlock()
	want := []webhook.Answer{
		{ID: "72d3162e-cc78-11e3-81ab-4c9367dc0958", Event: "push", Status: 202, Text: "accepted: push"},
		{ID: strings.Repeat("?", 64), Event: "?push", Status: 401, Text: "one X-Hub-Signature-256 is needed; set a secret for the webhook on GitHub"},
	}
	if diff := cmp.Diff(want, e.answers); diff != "" {
		t.Error(diff)
	}
}

// catalogue 65: signed with the real secret.
func FuzzDelivery(f *testing.F) {
	for _, kind := range []string{"push", "pull_request", "check_run", "check_suite", "status", "registry_package", "package", "ping", "x\x00"} {
		f.Add(kind, []byte(push))
		f.Add(kind, []byte(`{"action":"completed","check_run":{"head_sha":"`+sha+`"},"pull_request":{"base":{"ref":"main"}},"repository":{"full_name":"acme/shop"}}`))
	}
	events := 0
	h, err := webhook.New(webhook.Options{Repository: "acme/shop", Branch: "main", Secret: func() (string, error) { return secret, nil },
		Notify: func(e gitsync.Event) {
			events++
			if e.Subject != gitsync.AboutPackage && e.Repository != "acme/shop" || e.Subject == gitsync.AboutBranch && e.Branch != "main" || e.Origin != gitsync.FromWebhook {
				panic(fmt.Sprintf("%+v", e))
			}
		}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header["X-Github-Event"] = []string{kind}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Hub-Signature-256", sign(string(body), secret))
		before := events
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch accepted := strings.HasPrefix(w.Body.String(), "accepted"); {
		case w.Code != 202 && w.Code != 400:
			t.Errorf("%d %s", w.Code, w.Body)
		case accepted != (events == before+1):
			t.Errorf("%d %s with %d events", w.Code, w.Body, events-before)
		}
	})
}
