package github_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	standin "github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/promote/github"
)

func rewrite(resp *http.Response, change func(body any)) (*http.Response, error) {
	defer resp.Body.Close()
	var body any
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return nil, err
	}
	change(body)
	text, err := json.Marshal(body)
	resp.Header.Del("Content-Length")
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return resp, err
}

func asError[E error](err error, target *E) bool { return errors.As(err, target) }

// approved is a proposal that needs as many approvals before it is merged.
func (w *world) approved(to string, n int) promote.Proposal {
	p := w.proposal(to)
	p.Approvals, p.Auto = n, true
	return p
}

// catalogue 74: the environment asks for approvals, whether GitHub does or not.
func TestApprovalsAreWaitedFor(t *testing.T) {
	t.Parallel()
	w := start(t)
	bob, carol := w.person("bob"), w.person("carol")
	reader := w.person("reader")
	w.must(w.SetRole(shop, "reader", "read"))
	f := w.forge()
	refused := func(pr promote.PullRequest, want string) {
		t.Helper()
		w.ForgetRequests()
		blocked, ok := is[*promote.Blocked](f.Merge(t.Context(), pr))
		if !ok || blocked.Reason != want {
			t.Errorf("got %v, want it to wait: %s", blocked, want)
		}
		if sent := writes(w.sent()); len(sent) != 0 {
			t.Errorf("it tried: %q", sent)
		}
	}
	pr := w.propose(f, w.approved("1", 2))
	if pr.Blocked != "needs 2 of 2 approvals" {
		t.Errorf("got %+v", pr)
	}
	refused(pr, "needs 2 of 2 approvals")

	w.must(bob.Approve(t.Context(), shop, pr.Number))
	w.must(reader.Approve(t.Context(), shop, pr.Number))
	const one = "needs 1 of 2 approvals (reader may not write to the repository)"
	if pr = w.propose(f, w.approved("1", 2)); pr.Blocked != one {
		t.Errorf("got %+v", pr)
	}
	refused(pr, one)

	w.must(carol.Approve(t.Context(), shop, pr.Number))
	if pr = w.propose(f, w.approved("1", 2)); pr.Blocked != "" {
		t.Errorf("got %+v", pr)
	}
	// Taken back between the look and the merge.
	w.must(carol.RequestChanges(t.Context(), shop, pr.Number, "wait"))
	refused(pr, "needs 1 of 2 approvals (carol asked for changes; reader may not write to the repository)")
	w.must(carol.Approve(t.Context(), shop, pr.Number))
	w.must(f.Merge(t.Context(), pr))
	if got := w.read("main", overlay); got != kustomization("1") {
		t.Errorf("main has\n%s", got)
	}
	// It is the same question afterwards.
	w.expectOrigin(w.resolve("main"), `[1,"pawl[bot]",["bob","carol"],["reader may not write to the repository"]]`)
}

// catalogue 70, 74: new digests need new approvals.
func TestApprovalsOfAnOlderProposalDoNotCount(t *testing.T) {
	t.Parallel()
	w := start(t)
	bob := w.person("bob")
	f := w.forge()
	pr := w.propose(f, w.approved("1", 1))
	w.must(bob.Approve(t.Context(), shop, pr.Number))
	old := pr.Head
	pr = w.propose(f, w.approved("2", 1))
	if pr.Blocked != "needs 1 approval" || pr.Head == old {
		t.Errorf("got %+v", pr)
	}
	blocked, ok := is[*promote.Blocked](f.Merge(t.Context(), pr))
	if want := "needs 1 approval (bob approved " + old.Short() + ", which is not the head)"; !ok || blocked.Reason != want {
		t.Errorf("got %v, want %s", blocked, want)
	}
	w.must(bob.Approve(t.Context(), shop, pr.Number))
	w.must(f.Merge(t.Context(), pr))
}

// catalogue 74: with a token the agent is a person to GitHub, and not to us.
func TestTheAgentDoesNotApproveItsOwn(t *testing.T) {
	t.Parallel()
	w := start(t)
	robot := w.person("robot")
	f := w.forge(as(robot.Token))
	pr := w.propose(f, w.approved("1", 1))
	if err := robot.Approve(t.Context(), shop, pr.Number); err == nil {
		t.Error("GitHub let the author approve")
	}
	if _, ok := is[*promote.Blocked](f.Merge(t.Context(), pr)); !ok {
		t.Error("merged without approval")
	}
}

func TestApprovalsAreNotAskedWhereNoneAreNeeded(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	w.ForgetRequests()
	pr := w.propose(f, w.proposal("1"))
	pr = w.propose(f, w.proposal("1"))
	w.must(f.Merge(t.Context(), pr))
	manual := w.proposalOn(w.resolve("main"), "2")
	manual.Approvals = 2 // a person merges, and sees them
	if pr := w.propose(f, manual); pr.Blocked != "" {
		t.Errorf("got %+v", pr)
	}
	for _, r := range w.sent() {
		if strings.Contains(r, "reviews") || strings.Contains(r, "collaborators") || strings.HasPrefix(r, "GET pulls/") && strings.HasSuffix(r, "/commits") {
			t.Errorf("asked %s", r)
		}
	}
	// And where they are, waiting costs one more request, which changes nothing
	// and so costs no quota.
	w = start(t)
	f = w.forge()
	w.propose(f, w.approved("1", 2))
	for range 2 {
		w.propose(f, w.approved("1", 2))
		w.ForgetRequests()
	}
	w.propose(f, w.approved("1", 2))
	var reviews int
	requests := w.Requests()
	for _, r := range requests {
		if r.Status != http.StatusNotModified {
			t.Errorf("%s %s is answered %d", r.Method, r.Path, r.Status)
		}
		if strings.HasSuffix(r.Path, "/reviews") {
			reviews++
		}
	}
	if reviews != 1 || len(requests) != 3 {
		t.Errorf("sent %d requests, %d for reviews", len(requests), reviews)
	}
}

// The last word may stand on a later page.
func TestAllPagesOfReviewsAreRead(t *testing.T) {
	t.Parallel()
	w := start(t)
	bob := w.person("bob")
	f := w.forge()
	pr := w.propose(f, w.approved("1", 1))
	w.must(bob.Approve(t.Context(), shop, pr.Number))
	for range 100 {
		w.must(w.ann.Comment(t.Context(), shop, pr.Number, "hm"))
	}
	w.must(bob.RequestChanges(t.Context(), shop, pr.Number, "wait"))
	blocked, ok := is[*promote.Blocked](f.Merge(t.Context(), pr))
	if !ok || blocked.Reason != "needs 1 approval (bob asked for changes)" {
		t.Errorf("got %v", blocked)
	}
}

// The account that approved is gone, its name another's, or its answer lost.
func TestAnApproverWhoIsNotCertainDoesNotCount(t *testing.T) {
	t.Parallel()
	w := start(t)
	bob := w.person("bob")
	pr := w.propose(w.forge(), w.approved("1", 1))
	w.must(bob.Approve(t.Context(), shop, pr.Number))
	for what, change := range map[string]func(level map[string]any){
		"somebody else's name": func(l map[string]any) { l["user"].(map[string]any)["id"] = 1 },
		"no account":           func(l map[string]any) { l["user"] = nil },
		"an unknown level":     func(l map[string]any) { l["permission"] = "Write" },
		"no level":             func(l map[string]any) { delete(l, "permission") },
	} {
		f := w.forge(func(o *github.Options) {
			o.Transport = rewritten(func(path string, body any) {
				if level, ok := body.(map[string]any); ok && strings.HasSuffix(path, "/permission") {
					change(level)
				}
			})
		})
		if pr := w.propose(f, w.approved("1", 1)); pr.Blocked != "needs 1 approval (bob may not write to the repository)" {
			t.Errorf("%s: %+v", what, pr)
		}
	}
	for status, want := range map[int]string{404: "needs 1 approval (bob may not write to the repository)", 500: "", 403: ""} {
		f := w.forge()
		heal := w.Fail(path("/permission$"), standin.Fault{Status: status, Message: "no"})
		pr, err := f.Propose(t.Context(), w.approved("1", 1))
		if want != "" && pr.Blocked != want || (want == "") != (err != nil) {
			t.Errorf("answered %d: %+v, %v", status, pr, err)
		}
		heal()
	}
}
