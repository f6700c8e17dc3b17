package github_test

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/git"
	standin "github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/promote/github"
)

const branch = "pawl/promote/staging/web"

func TestAProposalIsOpenedOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	f, p := w.forge(), w.proposal("1")
	w.ForgetRequests()
	pr := w.propose(f, p)
	want := "GET pulls, GET git/commits/" + string(w.head) + ", POST git/trees, POST git/commits, POST git/refs, POST pulls, POST issues/1/labels"
	if got := strings.Join(w.sent(), ", "); got != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
	if pr.Number != 1 || pr.State != promote.Open || pr.Head != w.resolve(branch) || pr.Blocked != "" || !strings.HasSuffix(pr.URL, "/pull/1") {
		t.Errorf("got %+v", pr)
	}
	if got := w.read(branch, overlay); got != kustomization("1") {
		t.Errorf("the branch has\n%s", got)
	}
	pull := w.pulls("open")[0]
	if pull.GetTitle() != p.Title || pull.GetBody() != p.Body || pull.GetUser().GetLogin() != "pawl[bot]" || len(pull.Labels) != 1 {
		t.Errorf("GitHub shows %v", pull)
	}
	commit, _, err := w.ann.API().Repositories.GetCommit(t.Context(), "acme", "shop", branch, nil)
	w.must(err)
	if !commit.GetCommit().GetVerification().GetVerified() || len(commit.Files) != 1 || !strings.HasPrefix(commit.GetCommit().GetMessage(), p.Title) {
		t.Errorf("the commit is %v", commit)
	}

	w.ForgetRequests()
	if again := w.propose(f, p); again.Number != 1 || again.Head != pr.Head {
		t.Errorf("again: %+v", again)
	}
	if got := strings.Join(w.sent(), ", "); got != "GET pulls, GET pulls/1" {
		t.Errorf("asked again, it sent %s", got)
	}
	// catalogue 75
	restarted := w.forge()
	if again := w.propose(restarted, p); again.Number != 1 || again.Head != pr.Head || again.State != promote.Open {
		t.Errorf("after a restart: %+v", again)
	}
	if got := writes(w.sent()); len(got) != 0 {
		t.Errorf("after a restart it wrote: %q", got)
	}
}

func TestNewDigestsMoveTheSamePullRequest(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		w := start(t)
		f := w.forge()
		first := w.propose(f, w.proposal("1"))
		if restart {
			f = w.forge()
		}
		second := w.propose(f, w.proposal("2"))
		if second.Number != first.Number || second.Head == first.Head || second.Head != w.resolve(branch) || len(w.pulls("all")) != 1 {
			t.Errorf("got %+v after %+v", second, first)
		}
		if got := w.read(branch, overlay); got != kustomization("2") {
			t.Errorf("the branch has\n%s", got)
		}
		if _, err := w.repo.Run(t.Context(), "merge-base", "--is-ancestor", string(first.Head), string(second.Head)); err != nil {
			t.Error("the branch was forced")
		}
		if pull := w.pulls("open")[0]; pull.GetTitle() != w.proposal("2").Title || !strings.Contains(pull.GetBody(), "sha256:222222222222") {
			t.Errorf("GitHub shows %v", pull)
		}
	}
}

// catalogue 76
func TestAPersonsCommitOnTheBranchIsLeftAlone(t *testing.T) {
	t.Parallel()
	for what, push := range map[string]func(w *world, pr promote.PullRequest){
		"a commit on top": func(w *world, _ promote.PullRequest) { w.push(branch, map[string]string{overlay: kustomization("7")}) },
		"another file":    func(w *world, _ promote.PullRequest) { w.push(branch, map[string]string{"CODEOWNERS": "* @ann"}) },
		"an amended commit that keeps the message": func(w *world, pr promote.PullRequest) {
			message, err := w.repo.Run(t.Context(), "log", "-1", "--format=%B", string(pr.Head))
			w.must(err)
			_, err = w.repo.Commit(t.Context(), git.Commit{Branch: branch, From: string(w.head), Author: "pawl[bot]", Message: message, Write: map[string]string{overlay: kustomization("7")}})
			w.must(err)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for _, restart := range []bool{false, true} {
				w := start(t)
				f := w.forge()
				pr := w.propose(f, w.proposal("1"))
				push(w, pr)
				there := w.resolve(branch)
				if restart {
					f = w.forge()
				}
				for _, to := range []string{"1", "2"} {
					got := w.propose(f, w.proposal(to))
					if !strings.Contains(got.Blocked, "commits that are not Pawl's") || got.Head != there || w.resolve(branch) != there {
						t.Errorf("got %+v, the branch was at %s", got, there)
					}
					err := f.Merge(t.Context(), got)
					if _, ok := is[*promote.Blocked](err); !ok {
						t.Errorf("merge: %v", err)
					}
				}
			}
		})
	}
}

// catalogue 76
func TestWhatAPersonClosedStaysClosed(t *testing.T) {
	t.Parallel()
	w := start(t)
	pr := w.propose(w.forge(), w.proposal("1"))
	w.must(w.ann.Close(t.Context(), shop, pr.Number))
	w.ForgetRequests()
	for range 2 {
		got := w.propose(w.forge(), w.proposal("1"))
		if got.State != promote.Closed || got.Number != pr.Number {
			t.Errorf("got %+v", got)
		}
	}
	if sent := writes(w.sent()); len(sent) != 0 {
		t.Errorf("it wrote %q", sent)
	}
	if got := w.propose(w.forge(), w.proposal("2")); got.State != promote.Open || got.Number == pr.Number {
		t.Errorf("other digests: got %+v", got)
	}
	if got := w.read(branch, overlay); got != kustomization("2") {
		t.Errorf("the branch has\n%s", got)
	}
	// And what was closed stays closed though another was opened since.
	if got := w.propose(w.forge(), w.proposal("1")); got.State != promote.Closed {
		t.Errorf("got %+v", got)
	}
}

// catalogue 77
func TestWhatIsMergedIsNotProposedAgain(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	pr := w.propose(f, w.proposal("1"))
	w.must(f.Merge(t.Context(), pr))
	// The agent has not fetched the merge yet.
	if got := w.propose(w.forge(), w.proposal("1")); got.State != promote.Merged || got.Number != pr.Number {
		t.Errorf("got %+v", got)
	}
	// A person's revert is the last word on these digests, not on others.
	reverted := w.push("main", map[string]string{overlay: kustomization("0")})
	if got := w.propose(w.forge(), w.proposalOn(reverted, "1")); got.State != promote.Reverted || got.Number != pr.Number {
		t.Errorf("after the revert: got %+v", got)
	}
	next := w.propose(f, w.proposalOn(reverted, "2"))
	if next.State != promote.Open {
		t.Fatalf("the next digest: got %+v", next)
	}
	w.must(f.Merge(t.Context(), next))
	// The source went back itself: what others overtook is wanted anew.
	if got := w.propose(w.forge(), w.proposalOn(w.resolve("main"), "1")); got.State != promote.Open || got.Number == pr.Number {
		t.Errorf("after other digests: got %+v", got)
	}
}

// catalogue 75 77
func TestWhateverAnswerIsLostThereIsOnePullRequest(t *testing.T) {
	t.Parallel()
	for _, request := range []string{"GET /pulls$", "POST /git/trees$", "POST /git/commits$", "POST /git/refs$", "POST /pulls$", "POST /labels$", "POST /access_tokens$"} {
		for what, fault := range map[string]standin.Fault{
			"lost after the effect": once(standin.LostReply()),
			"502 after the effect":  {Status: 502, AfterEffect: true, Times: 1},
			"500 before the effect": once(standin.ServerError(500)),
			"cut before the effect": {Reset: true, Times: 1},
		} {
			t.Run(request+" "+what, func(t *testing.T) {
				t.Parallel()
				w := start(t)
				method, expression, _ := strings.Cut(request, " ")
				w.Fail(standin.Match{Method: method, Path: regexp.MustCompile(expression)}, fault)
				f := w.forge()
				for attempt := 1; ; attempt++ {
					pr, err := f.Propose(t.Context(), w.proposal("1"))
					if err == nil {
						if pr.State != promote.Open || pr.Head != w.resolve(branch) {
							t.Errorf("got %+v", pr)
						}
						break
					}
					if _, ok := is[*promote.Unavailable](err); !ok || attempt == 3 {
						t.Fatalf("attempt %d: %v", attempt, err)
					}
					if fault.AfterEffect && (strings.HasSuffix(expression, "/pulls$") && method == "POST" || strings.HasSuffix(expression, "/refs$")) {
						t.Errorf("it was done, and could have been found: %v", err)
					}
					f = w.forge() // as after a crash: nothing is remembered
				}
				if pulls := w.pulls("all"); len(pulls) != 1 || pulls[0].GetState() != "open" {
					t.Errorf("GitHub has %d pull requests", len(pulls))
				}
				if got := w.read(branch, overlay); got != kustomization("1") {
					t.Errorf("the branch has\n%s", got)
				}
			})
		}
	}
}

// catalogue 75
func TestReplicasThatProposeAtOnceOpenOnePullRequest(t *testing.T) {
	t.Parallel()
	w := start(t)
	var all sync.WaitGroup
	for range 4 {
		f := w.forge()
		all.Go(func() {
			for range 5 {
				if _, err := f.Propose(t.Context(), w.proposal("1")); err == nil {
					return
				}
			}
			t.Error("never got through")
		})
	}
	all.Wait()
	if pulls := w.pulls("all"); len(pulls) != 1 {
		t.Errorf("GitHub has %d pull requests", len(pulls))
	}
}

// catalogue 71
func TestAStrangersPullRequestIsNotAdopted(t *testing.T) {
	t.Parallel()
	w := start(t)
	ours := w.proposal("1")
	w.push(branch, map[string]string{overlay: kustomization("1")})
	number, err := w.ann.OpenPull(t.Context(), shop, branch, "main", ours.Title, ours.Body)
	w.must(err)
	_, _, err = w.ann.API().Issues.AddLabelsToIssue(t.Context(), "acme", "shop", number, []string{"pawl"})
	w.must(err)
	w.ForgetRequests()
	f := w.forge()
	pr := w.propose(f, ours)
	if pr.Number != number || !strings.Contains(pr.Blocked, "was opened by ann, not by Pawl (pawl[bot])") {
		t.Errorf("got %+v", pr)
	}
	if _, ok := is[*promote.Blocked](f.Merge(t.Context(), pr)); !ok {
		t.Error("it was not refused")
	}
	if sent := writes(w.sent()); len(sent) != 0 {
		t.Errorf("it wrote %q", sent)
	}
}

func TestAStrangersBranchOfTheNameIsNotOverwritten(t *testing.T) {
	t.Parallel()
	w := start(t)
	there := w.push(branch, map[string]string{"work": "of somebody"})
	pr := w.propose(w.forge(), w.proposal("1"))
	if !strings.Contains(pr.Blocked, "commits that are not Pawl's") || w.resolve(branch) != there || len(w.pulls("all")) != 0 {
		t.Errorf("got %+v", pr)
	}
}

func TestAPersonalTokenProposesAndMerges(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, c := range []struct{ token, first, second string }{
		{w.AddUser("robot"), "1", "2"},
		{w.AddToken("robot", map[string]string{"contents": "write", "pull_requests": "write"}), "3", "4"},
	} {
		w.head = w.push("main", map[string]string{overlay: kustomization("0")})
		f := w.forge(as(c.token))
		w.propose(f, w.proposal(c.first))
		w.propose(w.forge(as(c.token)), w.proposal(c.second))
		pr := w.propose(f, w.proposal(c.second))
		w.must(f.Merge(t.Context(), pr))
		if text := w.read("main", overlay); text != kustomization(c.second) {
			t.Errorf("main has\n%s", text)
		}
	}
}

func TestAProposalThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	for what, spoil := range map[string]func(*promote.Proposal){
		"no branch":        func(p *promote.Proposal) { p.Branch = "" },
		"the base itself":  func(p *promote.Proposal) { p.Branch = "main" },
		"no files":         func(p *promote.Proposal) { p.Files = nil },
		"a path outside":   func(p *promote.Proposal) { p.Files = map[string][]byte{"../x": nil} },
		"a path into git":  func(p *promote.Proposal) { p.Files = map[string][]byte{".git/config": nil} },
		"an absolute path": func(p *promote.Proposal) { p.Files = map[string][]byte{"/etc/x": nil} },
	} {
		p := w.proposal("1")
		spoil(&p)
		if pr, err := w.forge().Propose(t.Context(), p); err == nil {
			t.Errorf("%s: got %+v", what, pr)
		}
	}
	if len(w.pulls("all")) != 0 || w.resolve("main") != w.head {
		t.Error("something was written")
	}
}

// catalogue 76: a person pushes while the agent writes.
func TestAPushAtTheSameMomentIsNotOverwritten(t *testing.T) {
	t.Parallel()
	w := start(t)
	var there gitsync.Commit
	f := w.forge(func(o *github.Options) {
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/git/refs/") {
				there = w.push(branch, map[string]string{"work": "of somebody"})
			}
			return http.DefaultTransport.RoundTrip(r)
		})
	})
	w.propose(f, w.proposal("1"))
	if pr, err := f.Propose(t.Context(), w.proposal("2")); err == nil {
		t.Errorf("got %+v", pr)
	}
	if there == "" || w.resolve(branch) != there {
		t.Error("the person's commit is gone")
	}
	if pr := w.propose(f, w.proposal("2")); !strings.Contains(pr.Blocked, "commits that are not Pawl's") {
		t.Errorf("then got %+v", pr)
	}
}
