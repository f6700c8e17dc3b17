package agent

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
)

// ahead is a shop in which dev has a newer digest than staging.
func ahead(staging string) map[string]string {
	files := shop()
	files["pawl.yaml"] = pipeline("", staging)
	files[file("web", "dev")] = overlay(hexOf("b"))
	return files
}

const auto = ", promotion: {merge: auto}"

func (w *world) holds(f, digest string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.files[f], digest)
}

func (w *world) entering(environment string) Promotion {
	for _, e := range w.agent.Status().Environments {
		if e.Name == environment && len(e.Entering) == 1 {
			return e.Entering[0]
		}
	}
	return Promotion{}
}

func TestAPromotionIsProposedOnceAndWaitsForAPerson(t *testing.T) {
	inWorld(t, ahead(""), func(w *world) {
		w.expect("proposals", w.forge.proposed, 1)
		for range 10 {
			w.push(map[string]string{"README.md": time.Now().String()})
			w.turns(web, drift.Failed)
			w.turns(web, drift.Current)
		}
		w.expect("proposals, after much that does not matter", w.forge.proposed, 1)
		w.expect("merges", w.forge.merged, 0)
		w.expect("on the status page", w.entering("staging").PullRequest, 1)
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("c"))})
		w.expect("proposals of the next digest", w.forge.proposed, 2)
	})
}

func TestAPromotionThatIsNoLongerWantedIsWithdrawn(t *testing.T) {
	inWorld(t, ahead(""), func(w *world) {
		w.expect("open pull requests", len(w.forge.pulls), 1)
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("a"))}) // dev goes back
		w.expect("open pull requests once nothing is to be promoted", len(w.forge.pulls), 0)
		w.expect("looks for it", len(w.forge.lookedFor), 1)
		w.push(map[string]string{"README.md": "nothing"})
		w.pass(time.Hour)
		w.expect("looks for it an hour later", len(w.forge.lookedFor), 1)
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.expect("open pull requests when it is wanted again", len(w.forge.pulls), 1)
	})
}

func TestAMergedPromotionIsNotLookedFor(t *testing.T) {
	inWorld(t, ahead(auto), func(w *world) {
		w.pass(time.Minute)
		w.expect("merges", w.forge.merged, 1)
		w.expect("looks for something to withdraw", len(w.forge.lookedFor), 0)
	})
}

func TestAPromotionIsMergedAndAppliedByItself(t *testing.T) {
	inWorld(t, ahead(auto), func(w *world) {
		w.pass(time.Minute)
		w.expect("merges", w.forge.merged, 1)
		w.expect("staging's digest on the branch", w.holds(file("web", "staging"), hexOf("b")), true)
		w.expect("applies", w.count("staging/web 2"), 1)
		w.expect("verdict", w.entering("staging").Verdict, "nothing")

		// Taken back, it is proposed anew, even if nobody saw the time between.
		w.mu.Lock()
		w.files[file("web", "dev")] = overlay(hexOf("c"))
		w.commits++
		w.mu.Unlock()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b")), file("web", "staging"): overlay(hexOf("a"))})
		w.pass(time.Minute)
		w.expect("merges after a revert", w.forge.merged, 2)
	})
}

func TestABlockedPromotionIsMergedOnceItIsFree(t *testing.T) {
	inWorld(t, ahead(auto), func(w *world) {
		block := func(why string) {
			w.mu.Lock()
			w.forge.blocked = why
			w.mu.Unlock()
		}
		block("reviews are missing")
		w.agent.Event(gitsync.Event{Subject: gitsync.AboutPullRequest})
		synctest.Wait()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("c"))})
		merged := w.forge.merged
		w.expect("why", w.entering("staging").Blocked, "reviews are missing")
		w.pass(time.Hour)
		if looks := w.forge.proposed; looks > 25 {
			t.Errorf("GitHub was asked %d times in an hour in which nothing happened", looks)
		}
		block("")
		w.agent.Event(gitsync.Event{Subject: gitsync.AboutChecks, Commit: "somebody else's"})
		synctest.Wait()
		w.expect("merges by a check of something else", w.forge.merged, merged)
		w.mu.Lock()
		head := w.forge.pulls["pawl/promote/staging/web"].Head
		w.mu.Unlock()
		w.agent.Event(gitsync.Event{Subject: gitsync.AboutChecks, Commit: head})
		synctest.Wait()
		w.expect("merges at once by a check of its head", w.forge.merged, merged+1)
	})
}

func TestABranchThatIsNotOursIsLookedAtAgain(t *testing.T) {
	inWorld(t, ahead(""), func(w *world) {
		w.pass(time.Minute)
		w.mu.Lock()
		w.forge.pulls["pawl/promote/staging/web"].State = "" // as where a stranger committed to the branch
		w.forge.blocked = "the branch has commits that are not Pawl's"
		w.mu.Unlock()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("c"))})
		before := w.forge.proposed
		w.pass(time.Hour)
		if w.forge.proposed == before {
			t.Error("nobody looked whether the branch is free again")
		}
	})
}

func TestNothingIsMergedOnAStalePlan(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		// While the pull request is written, dev falls ill.
		w.mu.Lock()
		w.forge.refuses = func() error {
			go w.tell(web, drift.Failed)
			return nil
		}
		w.forge.slow = time.Second
		w.mu.Unlock()
		w.push(map[string]string{"pawl.yaml": pipeline("", auto), file("web", "dev"): overlay(hexOf("b"))})
		w.pass(time.Hour)
		w.expect("proposals", w.forge.proposed, 1)
		w.expect("merges", w.forge.merged, 0)
	})
}

func TestGitHubIsNotPestered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		says  string
		err   func(now time.Time) error
		tries int // within an hour, at most
		lines int // of log
	}{
		{"a limit is waited out", func(now time.Time) error {
			return &promote.RateLimited{Doing: "propose", Until: time.Date(2000, 1, 1, 0, 50, 0, 0, time.UTC)}
		}, 12, 1},
		{"credentials that do not allow it wait for a person", func(time.Time) error { return &promote.Denied{Doing: "propose", Status: 403} }, 20, 1},
		{"an outage is waited out", func(time.Time) error { return &promote.Unavailable{Doing: "propose", Err: errors.New("502")} }, 20, 1},
	} {
		for _, tracks := range []bool{false, true} {
			t.Run(c.says, func(t *testing.T) {
				files := ahead("")
				if tracks {
					files = shop()
					files["pawl.yaml"] = pipeline(`, track: [{image: "ghcr.io/acme/*", tag: main}]`, "")
				}
				inWorld(t, files, func(w *world) {
					w.mu.Lock()
					w.tag = hexOf("c")
					w.forge.refuses = func() error { return c.err(time.Now()) }
					w.mu.Unlock()
					w.push(map[string]string{"README.md": "1"})
					if !tracks {
						w.push(map[string]string{file("web", "dev"): overlay(hexOf("c"))})
					}
					started := w.forge.proposed + w.forge.committed
					for range 60 {
						w.turns(web, drift.Failed)
						w.turns(web, drift.Current)
						w.agent.Event(gitsync.Event{Subject: gitsync.AboutPackage})
						w.pass(time.Minute)
					}
					tried := w.forge.proposed + w.forge.committed - started
					if tried > c.tries || tried == 0 {
						t.Errorf("%d tries within an hour; want some, and at most %d", tried, c.tries)
					}
					w.mu.Lock()
					w.forge.refuses = nil
					w.mu.Unlock()
					w.pass(time.Hour)
					if tracks {
						w.expect("committed in the end", w.holds(file("web", "dev"), hexOf("c")), true)
					} else {
						w.expect("proposed in the end", w.entering("staging").State, "open")
					}
					w.stop()
					synctest.Wait()
					w.expect("log lines", strings.Count(w.log.String(), `"level":"warn"`), c.lines)
				})
			})
		}
	}
}

func TestTrackedTagsAreCommittedOnce(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = pipeline(`, track: [{image: "ghcr.io/acme/*", tag: main}]`, "")
	inWorld(t, files, func(w *world) {
		w.expect("commits where nothing moved", w.forge.committed, 0)
		w.mu.Lock()
		w.tag = hexOf("b")
		w.mu.Unlock()
		w.agent.Event(gitsync.Event{Subject: gitsync.AboutPackage})
		synctest.Wait()
		w.pass(time.Hour)
		w.expect("commits", w.forge.committed, 1)
		w.expect("applies", w.count("dev/web 2"), 1)

		// Somebody pushes at the same moment: their commit is read first.
		w.mu.Lock()
		w.tag = hexOf("c")
		w.files["README.md"] = "meanwhile"
		w.commits++
		w.mu.Unlock()
		w.agent.Event(gitsync.Event{Subject: gitsync.AboutPackage})
		synctest.Wait()
		w.expect("commits, one of them in vain", w.forge.committed, 3)
		w.expect("the digest is on the branch", w.holds(file("web", "dev"), hexOf("c")), true)
		w.expect("the other commit is, too", w.holds("README.md", "meanwhile"), true)

		// What is not signed goes nowhere.
		w.mu.Lock()
		w.tag = hexOf("d")
		w.unsigned[hexOf("d")] = true
		w.mu.Unlock()
		w.pass(time.Hour)
		w.expect("commits", w.forge.committed, 3)
	})
}

func TestATrackedImageThatCannotBeWrittenHoldsNothingElseUp(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = pipeline(`, track: [{image: "ghcr.io/acme/*", tag: main}]`, "")
	// A patch comes after images:, so that no digest in images: reaches it.
	files[file("api", "dev")] = "resources: [../../../base]\nimages: [{name: ghcr.io/acme/web, digest: " + hexOf("a") + "}]\n" +
		"transformers:\n  - |-\n    apiVersion: builtin\n    kind: PatchTransformer\n    metadata: {name: late}\n    target: {kind: Deployment}\n    patch: '[{\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/image\", \"value\": \"ghcr.io/acme/web@" + hexOf("a") + "\"}]'\n"
	inWorld(t, files, func(w *world) {
		w.expect("stage of the odd one", w.state(targetOf("dev", "api")).Problem, promote.Problem{})
		w.mu.Lock()
		w.tag = hexOf("b")
		w.mu.Unlock()
		w.pass(time.Hour)
		w.expect("commits", w.forge.committed, 1)
		w.expect("the digest is on the branch", w.holds(file("web", "dev"), hexOf("b")), true)
		w.expect("and not where it would not arrive", w.holds(file("api", "dev"), hexOf("b")), false)
		w.stop()
		synctest.Wait()
		w.expect("log lines", strings.Count(w.log.String(), `"level":"warn"`), 1)
	})
}

func TestALimitIsMeantForAllPullRequests(t *testing.T) {
	files := ahead("")
	for _, application := range []string{"api", "cart", "mail"} {
		for _, e := range []string{"dev", "staging"} {
			files[file(application, e)] = overlay(hexOf("a"))
		}
	}
	inWorld(t, files, func(w *world) {
		until := time.Now().Add(50 * time.Minute)
		w.mu.Lock()
		w.forge.refuses = func() error {
			if time.Now().Before(until) {
				return &promote.RateLimited{Doing: "propose", Until: until}
			}
			return nil
		}
		w.forge.proposed, w.forge.lookedFor = 0, nil
		w.mu.Unlock()
		for _, e := range []string{"api", "cart"} {
			w.push(map[string]string{file(e, "dev"): overlay(hexOf("c"))})
		}
		w.pass(45 * time.Minute)
		w.expect("requests while GitHub wants silence", w.forge.proposed+len(w.forge.lookedFor), 1)
		w.pass(10 * time.Minute)
		for _, application := range []string{"web", "api", "cart"} {
			if w.forge.pulls["pawl/promote/staging/"+application] == nil {
				t.Errorf("%s was not proposed once the limit ended", application)
			}
		}
		w.stop()
		synctest.Wait()
		w.expect("log lines", strings.Count(w.log.String(), `"level":"warn"`), 1)
	})
}
