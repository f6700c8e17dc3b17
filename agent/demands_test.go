package agent

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// withPolicy is a pawl.yaml whose repository has a policy.
func withPolicy(dev, staging string) string {
	return strings.Replace(pipeline(dev, staging), "  environments:", "  policies: [policies]\n  environments:", 1)
}

// withHealth is a pawl.yaml with a health check.
func withHealth(current string) string {
	check := "  health: [{apiVersion: acme.dev/v1, kind: Database, current: \"" + current + "\"}]\n"
	return strings.Replace(pipeline("", ""), "  environments:", check+"  environments:", 1)
}

// A release is kept with the health checks of its commit, also where the
// commit changes nothing else.
func TestHealthChecksComeWithTheirCommit(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.expect("checks at first", w.terms.Health.Digest(), drift.Digest(""))
		w.push(map[string]string{"pawl.yaml": withHealth("status.ready")})
		w.expect("applies of the commit with a check", w.count("dev/web 2"), 1)
		first := w.terms.Health
		if first.For(drift.ObjectID{Group: "acme.dev", Kind: "Database"}) == nil {
			t.Error("the check did not arrive")
		}
		w.push(map[string]string{"README.md": "unrelated"})
		w.expect("applies of a commit that changes nothing", w.count("dev/web 3"), 0)
		w.push(map[string]string{"pawl.yaml": withHealth("status.running")})
		w.expect("applies of the commit with another check", w.count("dev/web 4"), 1)
		if w.terms.Health.Digest() == first.Digest() {
			t.Error("the other check did not arrive")
		}
	})
}

// labelled is the base with a label, in which a policy may see a word.
func labelled(word string) string {
	return strings.Replace(webDeployment, "metadata: {name: web, namespace: shop}", "metadata: {name: web, namespace: shop, labels: {says: "+word+"}}", 1)
}

// tightening is a level's trust without rules of its own.
func tightening(t *testing.T) policies.Trust {
	t.Helper()
	trust, err := policies.NewTightening(nil)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// catalogue 124
func TestACommitIsJudgedByThePolicyThatItDoesAwayWith(t *testing.T) {
	weaken := map[string]map[string]string{
		"by another content": {"policies/deny.rego": "nothing"},
		"by naming none":     {"pawl.yaml": pipeline("", "")},
		"by another folder":  {"pawl.yaml": strings.Replace(withPolicy("", ""), "[policies]", "[other]", 1), "other/deny.rego": "nothing"},
	}
	for how, commit := range weaken {
		t.Run(how, func(t *testing.T) {
			files := shop()
			files["pawl.yaml"], files["policies/deny.rego"] = withPolicy("", ""), "privileged"
			inWorld(t, files, func(w *world) {
				w.expect("applies of the first commit", w.count("dev/web 1"), 1)
				both := map[string]string{"base/web.yaml": labelled("privileged")}
				for p, text := range commit {
					both[p] = text
				}
				w.push(both)
				w.expect("applies of the commit that weakens and breaks the policy", w.count("dev/web 2"), 0)
				w.expect("its reason", w.state(web).Problem.Reason, "PolicyDenied")
				if text := w.state(web).Problem.Text; !strings.Contains(text, "before this commit") {
					t.Errorf("the text does not say which policy denies: %s", text)
				}
				// Weakening alone is a commit like any other, and so is using it later.
				w.push(map[string]string{"base/web.yaml": webDeployment})
				w.expect("the stage after the breach was taken back", w.state(web).Stage, "healthy")
				w.push(map[string]string{"base/web.yaml": labelled("privileged")})
				w.expect("applies of the later commit", w.count("dev/web 4"), 1)
			})
		})
	}
}

// catalogue 124
func TestANewTargetIsJudgedByThePolicyThatItDoesAwayWith(t *testing.T) {
	files := shop()
	files["pawl.yaml"], files["policies/deny.rego"] = withPolicy("", ""), "privileged"
	files["privileged/kustomization.yaml"], files["privileged/web.yaml"] = "resources: [web.yaml]\n", labelled("privileged")
	inWorld(t, files, func(w *world) {
		w.push(map[string]string{
			"policies/deny.rego": "nothing",
			file("new", "dev"):   strings.Replace(overlay(hexOf("a")), "base", "privileged", 1),
		})
		w.expect("applies of the new target", w.count("dev/new 2"), 0)
		w.expect("its reason", w.state(targetOf("dev", "new")).Problem.Reason, "PolicyDenied")
		w.expect("the others go on", w.state(web).Stage, "healthy")
	})
}

func TestWhatACommitDemandsMustBeUsable(t *testing.T) {
	for because, change := range map[string]map[string]string{
		"there is no policy":         {"pawl.yaml": withPolicy("", "")},
		"the policy is no folder":    {"pawl.yaml": withPolicy("", ""), "policies": "text"},
		"the policy is broken":       {"pawl.yaml": withPolicy("", ""), "policies/other.rego": "text"},
		"the key is not there":       {"pawl.yaml": strings.Replace(pipeline("", ""), "  environments:", "  trust: [{images: ghcr.io/acme/*, keys: [{name: a, file: a.pub}]}]\n  environments:", 1)},
		"the health check is broken": {"pawl.yaml": withHealth("stauts.ready")},
		"there is no trust root":     {"pawl.yaml": strings.Replace(pipeline("", ""), "  environments:", "  trust: [{images: ghcr.io/acme/*, keyless: [{issuer: https://a.example, subject: b}]}]\n  environments:", 1)},
	} {
		t.Run(because, func(t *testing.T) {
			inWorld(t, shop(), func(w *world) {
				change["base/web.yaml"] = labelled("new")
				w.push(change)
				w.expect("applies", w.count("dev/web 2"), 0)
				w.expect("the last word", last(w.checks("dev")), "2 failure")
			})
		})
	}
}

func TestALevelIsDemandedByWhoeverNamesIt(t *testing.T) {
	strict := func(t *testing.T, w *world) *demands.Baseline {
		return &demands.Baseline{
			Trust: w.trust, Policies: map[string]demands.Policy{"no-words": wordPolicy{"no-words", "privileged"}},
			Levels: map[string]demands.Level{"pci": {Trust: tightening(t), Policies: []string{"no-words"}}},
		}
	}
	for by, stage := range map[string]string{"the agent's configuration": "", "pawl.yaml": ", level: pci"} {
		t.Run(by, func(t *testing.T) {
			files := shop()
			files["pawl.yaml"], files["base/web.yaml"] = pipeline(stage, ""), labelled("privileged")
			inWorldWith(t, files, func(w *world) {
				w.baseline = strict(t, w)
				if stage == "" {
					w.baseline.Environments = map[string]demands.EnvironmentBaseline{"dev": {Level: "pci"}}
				}
			}, func(w *world) {
				w.expect("applies in dev", w.count("dev/web 1"), 0)
				w.expect("the reason", w.state(web).Problem.Reason, "PolicyDenied")
				w.expect("applies in staging", w.count("staging/web 1"), 1)
			})
		})
	}
	t.Run("and taking it out of pawl.yaml is judged by it", func(t *testing.T) {
		files := shop()
		files["pawl.yaml"] = pipeline(", level: pci", "")
		inWorldWith(t, files, func(w *world) { w.baseline = strict(t, w) }, func(w *world) {
			w.push(map[string]string{"pawl.yaml": pipeline("", ""), "base/web.yaml": labelled("privileged")})
			w.expect("applies", w.count("dev/web 2"), 0)
		})
	})
	t.Run("and one that nobody knows refuses", func(t *testing.T) {
		files := shop()
		files["pawl.yaml"] = pipeline(", level: pcy", "")
		inWorldWith(t, files, func(w *world) { w.baseline = strict(t, w) }, func(w *world) {
			w.expect("applies", w.count("dev/web 1"), 0)
			w.expect("the reason", w.state(web).Problem.Reason, "LevelUnknown")
			if !strings.Contains(w.state(web).Problem.Text, `did you mean "pci"`) {
				t.Error(w.state(web).Problem.Text)
			}
		})
	})
}

// signing is a baseline whose dev wants signed commits, or approvals.
func signing(t *testing.T, w *world, level demands.Level) *demands.Baseline {
	level.Trust = tightening(t)
	return &demands.Baseline{
		Trust: w.trust, GitHub: true, Levels: map[string]demands.Level{"pci": level},
		Environments: map[string]demands.EnvironmentBaseline{"dev": {Level: "pci"}},
	}
}

// catalogue 58
func TestCommitsThatTouchATargetMustBeSigned(t *testing.T) {
	prepare := func(signed policies.SignedCommits) func(*world) {
		return func(w *world) {
			w.baseline = signing(w.t, w, demands.Level{Commits: signed})
			w.verified = map[gitsync.Commit]bool{"1": true, "4": true, "6": true}
		}
	}
	touch := func(word string) map[string]string { return map[string]string{"base/web.yaml": labelled(word)} }
	elsewhere := map[string]string{"README.md": "new"}
	for signed, applied := range map[policies.SignedCommits]int{policies.SignedHead: 1, policies.SignedEvery: 0} {
		t.Run(string(signed), func(t *testing.T) {
			inWorldWith(t, shop(), prepare(signed), func(w *world) {
				w.expect("applies of the first, signed commit", w.count("dev/web 1"), 1)
				w.push(elsewhere)
				w.expect("the stage after an unsigned one elsewhere", w.state(web).Stage, "healthy")
				w.push(touch("unsigned"))
				w.expect("applies of an unsigned one", w.count("dev/web 3"), 0)
				w.expect("the reason", w.state(web).Problem.Reason, "CommitUnsigned")
				w.push(touch("signed"))
				w.expect("applies of a signed one on top", w.count("dev/web 4"), applied)
				// What was taken back is not held against later commits.
				w.push(map[string]string{"base/web.yaml": webDeployment})
				w.push(touch("again"))
				w.expect("applies of a signed one later", w.count("dev/web 6"), 1)
			})
		})
	}
	t.Run("but not again after a restart for what runs already", func(t *testing.T) {
		// The target stands where an earlier run brought it; its commit is not signed.
		before := gitsync.Revision{Commit: "0", Tree: trees.FromMap(shop())}
		built, err := render.New(render.Options{}).Render(t.Context(), before, web)
		if err != nil {
			t.Fatal(err)
		}
		inWorldWith(t, shop(), func(w *world) {
			prepare(policies.SignedEvery)(w)
			w.verified = nil
			w.accepted = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0", Release: built.Release.Digest, Demands: w.demandsOf(before)}}
			w.history = []gitsync.Revision{before}
		}, func(w *world) {
			w.expect("the stage", w.state(web).Stage, "healthy")
			w.expect("questions to GitHub", len(w.asked), 0)
		})
	})
}

func TestApprovalsAreOfEachCommitThatTouchesATarget(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) {
		w.baseline = signing(t, w, demands.Level{Approvals: 2})
		w.approved = map[gitsync.Commit]int{"1": 2, "2": 1}
	}, func(w *world) {
		w.expect("applies of what two approved", w.count("dev/web 1"), 1)
		w.push(map[string]string{"base/web.yaml": labelled("one")})
		w.expect("applies of what one approved", w.count("dev/web 2"), 0)
		w.expect("the reason", w.state(web).Problem.Reason, "ApprovalMissing")
		w.mu.Lock()
		w.approved["2"] = 2
		w.mu.Unlock()
		w.pass(time.Minute)
		w.expect("applies once the second one approved", w.count("dev/web 2"), 1)
		w.push(map[string]string{"base/web.yaml": labelled("two")})
		w.expect("applies of what was pushed", w.count("dev/web 3"), 0)
	})
}

func TestGitHubIsAskedOnlyWhereSomebodyDemandsIt(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.push(map[string]string{"base/web.yaml": labelled("new")})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.expect("questions to GitHub", len(w.asked), 0)
	})
}

// catalogue 54
func TestARewrittenBranchStopsProtectedEnvironments(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) {
		w.baseline = &demands.Baseline{Trust: w.trust, Environments: map[string]demands.EnvironmentBaseline{"staging": {FollowRewrites: true}}}
	}, func(w *world) {
		w.push(map[string]string{"base/web.yaml": labelled("first")})
		w.expect("applies in dev", w.count("dev/web 2"), 1)
		w.mu.Lock()
		w.root = "1" // where the next commit is made: 2 is gone
		w.mu.Unlock()
		w.push(map[string]string{"base/web.yaml": labelled("rewritten")})
		w.expect("applies in dev after the rewrite", w.count("dev/web 3"), 0)
		w.expect("the reason", w.state(web).Problem.Reason, "HistoryRewritten")
		w.expect("applies in staging, which follows", w.count("staging/web 3"), 1)
		// Whatever comes on top of it has the same gap.
		w.push(map[string]string{"base/web.yaml": labelled("later")})
		w.expect("applies in dev of a later commit", w.count("dev/web 4"), 0)
		// The branch is brought back.
		w.mu.Lock()
		w.root = "2"
		w.mu.Unlock()
		w.push(map[string]string{"base/web.yaml": labelled("back")})
		w.expect("applies in dev once the branch is back", w.count("dev/web 5"), 1)
	})
	t.Run("also where it happened while nobody looked", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) {
			w.accepted = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0", Release: "sha256:other"}}
			w.history = []gitsync.Revision{{Commit: "0", Tree: trees.FromMap(shop())}}
		}, func(w *world) {
			w.expect("applies in dev", w.count("dev/web 1"), 0)
			w.expect("the reason", w.state(web).Problem.Reason, "HistoryRewritten")
		})
	})
	t.Run("where it brings nothing new, nothing is wrong", func(t *testing.T) {
		inWorld(t, shop(), func(w *world) {
			w.push(map[string]string{"README.md": "x"})
			w.mu.Lock()
			w.root = "0"
			w.mu.Unlock()
			w.push(map[string]string{"README.md": "y"})
			w.expect("the stage", w.state(web).Stage, "healthy")
		})
	})
}

// catalogue 40
func TestNothingIsJudgedWhileTheTrustCannotBeRead(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.mu.Lock()
		w.unreadable = errors.New("read /etc/pawl/trusted_root.json: no such file")
		w.mu.Unlock()
		w.push(map[string]string{"base/web.yaml": labelled("new")})
		w.expect("applies", w.count("dev/web 2"), 0)
		w.expect("the last word", last(w.checks("dev")), "2 failure")
		w.mu.Lock()
		w.unreadable = nil
		w.mu.Unlock()
		w.pass(time.Minute)
		w.expect("applies once it can be read", w.count("dev/web 2"), 1)
	})
}

// catalogue 41
func TestWhatRunsIsFlaggedOnceItsSignerIsNotTrusted(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.expect("the stage", w.state(web).Stage, "healthy")
		w.mu.Lock()
		w.baseline = &demands.Baseline{Trust: newTrust(t)}
		for _, digit := range "abc" {
			w.unsigned[hexOf(string(digit))] = true
		}
		w.mu.Unlock()
		w.push(map[string]string{"README.md": "the same release"})
		w.expect("the reason", w.state(web).Problem.Reason, "ImageRefused")
		w.expect("applies", w.count("dev/web 2"), 0)
	})
}

// A commit must not get around the demands in two steps of which neither looks
// like it: what is judged against moves on with what is accepted, and never back.
// catalogue 124
func TestGoingBackDoesNotBringBackWhatWasDemandedThen(t *testing.T) {
	weakened := func() map[string]string {
		return map[string]string{"pawl.yaml": pipeline("", ""), "base/web.yaml": labelled("privileged")}
	}
	t.Run("after a rollback", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
			w.push(map[string]string{"pawl.yaml": withPolicy("", ""), "policies/deny.rego": "privileged", "base/web.yaml": labelled("bad")})
			w.expect("the reason", w.state(web).Problem.Reason, "RolledBack")
			w.push(weakened())
			w.pass(time.Hour)
			w.expect("applies of what weakens and uses it", w.count("dev/web 3"), 0)
			w.expect("the reason", w.state(web).Problem.Reason, "PolicyDenied")
		})
	})
	t.Run("after the target moved", func(t *testing.T) {
		inWorld(t, shop(), func(w *world) {
			w.push(map[string]string{"pawl.yaml": withPolicy("", ""), "policies/deny.rego": "privileged"})
			moved := weakened()
			moved["pawl.yaml"] = strings.Replace(moved["pawl.yaml"], "apps/{app}/{env}", "moved/{app}/{env}", 1)
			for _, e := range []string{"dev", "staging"} {
				moved["moved/web/"+e+"/kustomization.yaml"], moved["apps/web/"+e+"/kustomization.yaml"] = overlay(hexOf("a")), ""
			}
			w.push(moved)
			w.pass(time.Hour)
			w.expect("applies of what weakens and uses it", w.count("dev/web 3"), 0)
		})
	})
	t.Run("after a restart with a refused head", func(t *testing.T) {
		files := shop()
		for path, text := range weakened() {
			files[path] = text
		}
		inWorldWith(t, files, func(w *world) {
			runs := w.remembers("0", shop()) // from before there was a policy
			strict := shop()
			strict["pawl.yaml"], strict["policies/deny.rego"] = withPolicy("", ""), "privileged"
			rev := revisionOf(strict)
			rev.Commit = "s"
			w.history = append(w.history, rev)
			w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "s", Release: runs.Digest, Demands: w.demandsOf(rev)}}, "s"
		}, func(w *world) {
			w.pass(time.Hour)
			w.expect("applies of what weakens and uses it", w.count("dev/web 1"), 0)
			w.expect("the reason", w.state(web).Problem.Reason, "PolicyDenied")
		})
	})
}

// catalogue 58
func TestWhatNoCommitSeemsToTouchIsNotLetThrough(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) {
		w.baseline = signing(t, w, demands.Level{Approvals: 1, Commits: policies.SignedEvery})
		w.verified, w.approved = map[gitsync.Commit]bool{"1": true}, map[gitsync.Commit]int{"1": 1}
	}, func(w *world) {
		evil := map[string]string{"evil/kustomization.yaml": "resources: [web.yaml]\n", "evil/web.yaml": labelled("evil")}
		for _, e := range []string{"dev", "staging"} {
			evil["moved/web/"+e+"/kustomization.yaml"] = strings.Replace(overlay(hexOf("a")), "../../../base", "../../../evil", 1)
		}
		w.push(evil) // touches no target
		w.expect("the stage", w.state(web).Stage, "healthy")
		// Two commits at once, the second of which moves the overlays.
		w.mu.Lock()
		w.commits++
		w.files["README.md"] = "x"
		w.history = append(w.history, gitsync.Revision{Commit: "3", Parents: []gitsync.Commit{"2"}, Tree: trees.FromMap(maps.Clone(w.files))})
		w.mu.Unlock()
		w.push(map[string]string{"pawl.yaml": strings.Replace(pipeline("", ""), "apps/{app}/{env}", "moved/{app}/{env}", 1)})
		w.expect("applies", w.count("dev/web 4"), 0)
	})
}

// What pawl.yaml sets is approved like what it deploys.
func TestSettingsAreApprovedToo(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) {
		w.baseline = signing(t, w, demands.Level{Approvals: 1})
		w.approved = map[gitsync.Commit]int{"1": 1, "3": 1}
	}, func(w *world) {
		w.push(map[string]string{"pawl.yaml": pipeline(", drift: report", "")})
		w.expect("the reason", w.state(web).Problem.Reason, "ApprovalMissing")
		w.expect("applies", w.count("dev/web 2"), 0)
		w.push(map[string]string{"pawl.yaml": pipeline("", "")})
		w.expect("the stage once it was taken back", w.state(web).Stage, "healthy")
	})
}

// A restart must not forget what a refused newcomer is compared with.
func TestARefusedNewcomerIsNoLessNewAfterARestart(t *testing.T) {
	var noted []drift.Accepted
	files := shop()
	inWorldWith(t, files, func(w *world) {
		w.baseline = signing(t, w, demands.Level{Approvals: 1})
		w.approved = map[gitsync.Commit]int{"1": 1}
	}, func(w *world) {
		w.push(map[string]string{file("evil", "dev"): overlay(hexOf("a"))})
		w.expect("applies", w.count("dev/evil 2"), 0)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, a := range w.accepted {
			if a.Target.Application == "evil" {
				noted = append(noted, a)
			}
		}
		if len(noted) != 1 || noted[0].Commit != "1" || noted[0].Release != "" {
			t.Errorf("noted is %+v; want what the environment was brought to before", noted)
		}
	})
}
