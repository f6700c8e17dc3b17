package github_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/gitsync"
	standin "github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/promote/github"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	pr := w.propose(f, w.proposal("1"))
	w.ForgetRequests()
	w.must(f.Merge(t.Context(), pr))
	if sent := w.sent(); len(sent) != 3 || len(writes(sent)) != 1 {
		t.Errorf("sent %q", sent)
	}
	if got := w.read("main", overlay); got != kustomization("1") {
		t.Errorf("main has\n%s", got)
	}
	merged := w.resolve("main")
	message, err := w.repo.Run(t.Context(), "log", "-1", "--format=%B", "main")
	w.must(err)
	if !strings.HasPrefix(message, w.proposal("1").Title+" (#1)") || strings.Contains(message, "Pawl-Tree") || !strings.Contains(message, digest("1")) {
		t.Errorf("main's message is\n%s", message)
	}
	w.must(f.Merge(t.Context(), pr))
	if w.resolve("main") != merged {
		t.Error("merged twice")
	}
}

// catalogue 70
func TestAHeadThatMovedIsNotMerged(t *testing.T) {
	t.Parallel()
	for _, files := range []map[string]string{{overlay: kustomization("7")}, {".github/workflows/x.yaml": "on: push"}} {
		w := start(t)
		f := w.forge()
		pr := w.propose(f, w.proposal("1"))
		there := w.push(branch, files)
		moved, ok := is[*promote.HeadMoved](f.Merge(t.Context(), pr))
		if !ok || moved.Want != pr.Head || moved.Have != there || w.resolve("main") != w.head {
			t.Errorf("got %+v", moved)
		}
		// Even if somebody hands over the new head: it is not what was proposed.
		pr.Head = there
		blocked, ok := is[*promote.Blocked](f.Merge(t.Context(), pr))
		if !ok || !strings.Contains(blocked.Reason, "changes more than the proposed digests") || w.resolve("main") != w.head {
			t.Errorf("got %v", blocked)
		}
	}
}

// catalogue 70: the head moves between the last look and the merge.
func TestAHeadThatMovesAtTheLastMomentIsNotMerged(t *testing.T) {
	t.Parallel()
	w := start(t)
	var there gitsync.Commit
	f := w.forge(func(o *github.Options) {
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut {
				there = w.push(branch, map[string]string{overlay: kustomization("7")})
			}
			return http.DefaultTransport.RoundTrip(r)
		})
	})
	pr := w.propose(f, w.proposal("1"))
	moved, ok := is[*promote.HeadMoved](f.Merge(t.Context(), pr))
	if !ok || moved.Have != there || w.resolve("main") != w.head {
		t.Errorf("got %v", moved)
	}
}

// catalogue 77
func TestAMergeWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]standin.Fault{"cut": once(standin.LostReply()), "502": {Status: 502, AfterEffect: true, Times: 1}} {
		w := start(t)
		f := w.forge()
		pr := w.propose(f, w.proposal("1"))
		w.Fail(path("/merge$"), fault)
		if err := f.Merge(t.Context(), pr); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := w.read("main", overlay); got != kustomization("1") {
			t.Errorf("main has\n%s", got)
		}
	}
	w := start(t)
	f := w.forge()
	pr := w.propose(f, w.proposal("1"))
	w.Fail(path("/merge$"), once(standin.ServerError(500)))
	if _, ok := is[*promote.Unavailable](f.Merge(t.Context(), pr)); !ok {
		t.Error("a failure without effect is not told as one")
	}
	w.must(f.Merge(t.Context(), pr))
}

// catalogue 74
func TestProtectionIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.must(w.Protect(shop, "main", standin.Protection{Approvals: 1}))
	f := w.forge()
	pr := w.propose(f, w.proposal("1"))
	w.ForgetRequests()
	pr = w.propose(f, w.proposal("1"))
	if !strings.Contains(pr.Blocked, "reviews or checks") {
		t.Errorf("got %+v", pr)
	}
	if blocked, ok := is[*promote.Blocked](f.Merge(t.Context(), pr)); !ok || blocked.Number != pr.Number {
		t.Errorf("got %v", blocked)
	}
	if sent := writes(w.sent()); len(sent) != 0 {
		t.Errorf("it tried: %q", sent)
	}
	w.must(w.ann.Approve(t.Context(), shop, pr.Number))
	if pr = w.propose(f, w.proposal("1")); pr.Blocked != "" {
		t.Errorf("got %+v", pr)
	}
	w.must(f.Merge(t.Context(), pr))
}

// catalogue 77: GitHub does not know yet whether it can be merged.
func TestUnknownMergeabilityBlocksNothing(t *testing.T) {
	t.Parallel()
	w := startAs(t, standin.Options{UnknownMergeability: 100}, everything)
	f := w.forge()
	w.must(f.Merge(t.Context(), w.propose(f, w.proposal("1"))))

	w = startAs(t, standin.Options{UnknownMergeability: 100}, everything)
	w.must(w.Protect(shop, "main", standin.Protection{Approvals: 1}))
	f = w.forge()
	blocked, ok := is[*promote.Blocked](f.Merge(t.Context(), w.propose(f, w.proposal("1"))))
	if !ok || !strings.Contains(blocked.Reason, "approving review") {
		t.Errorf("got %v", blocked)
	}
}

func TestOnlyWhatWasProposedIsMerged(t *testing.T) {
	t.Parallel()
	w := start(t)
	pr := w.propose(w.forge(), w.proposal("1"))
	f := w.forge()
	if _, ok := is[*promote.Blocked](f.Merge(t.Context(), pr)); !ok {
		t.Error("merged without having looked at it")
	}
	pr = w.propose(f, w.proposal("1"))
	w.must(w.ann.Close(t.Context(), shop, pr.Number))
	if blocked, ok := is[*promote.Blocked](f.Merge(t.Context(), pr)); !ok || !strings.Contains(blocked.Reason, "closed") {
		t.Errorf("got %v", blocked)
	}
}
