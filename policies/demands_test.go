package policies_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pawl-dev/pawl/policies"
)

// Whatever demands accept that were added up, each of them accepts by itself:
// nothing is traded. Order and repetition do not matter.
//
// catalogue 124
func TestDemandsAddUp(t *testing.T) {
	t.Parallel()
	var keys []policies.Key
	for _, n := range []string{"release", "backup", "security"} {
		keys = append(keys, policies.Key{Name: n, PEM: publicKey(t)})
	}
	random := rand.New(rand.NewPCG(1, 2))
	coin := func() bool { return random.IntN(2) == 0 }
	pick := func(list ...string) string { return list[random.IntN(len(list))] }

	rules := func() (out []policies.Rule) {
		for range random.IntN(3) {
			r := policies.Rule{Images: pick("**", "ghcr.io/acme/*", "ghcr.io/acme/web", "quay.io/**"), All: coin()}
			for _, k := range keys {
				if coin() {
					r.Keys = append(r.Keys, k)
				}
			}
			if len(r.Keys) == 0 {
				r.Keys = keys[:1]
			}
			if coin() {
				r.Attestations = []policies.AttestationDemand{{Type: pick("cyclonedx", review), Every: coin()}}
			}
			out = append(out, r)
		}
		return out
	}
	demands := func() policies.Demands {
		d := policies.NoDemands()
		switch random.IntN(8) {
		case 0:
			return policies.Demands{}
		case 1, 2, 3, 4:
			d.Trust = trustOf(t, rules()...)
		default:
			d.Trust = tightening(t, rules()...)
		}
		for _, p := range []string{"pods", "network"} {
			if coin() {
				d.Policies = append(d.Policies, p)
			}
		}
		d.Commit.Signed = policies.SignedCommits(pick("", "head", "every"))
		d.Commit.FollowRewrites = coin()
		d.Approvals = random.IntN(3)
		return d
	}
	web := imageOf("ghcr.io/acme/web", digestA, "Deployment shop/web")
	release := releaseOf(web)
	everybody := trustOf(t, policies.Rule{Images: "**", Keys: keys})
	findings := func() policies.Findings {
		e := policies.Evidence{Image: web.Pinned(), Exists: true}
		for _, s := range everybody.Signers(web.Repository) {
			if random.IntN(4) > 0 {
				e.Signatures = append(e.Signatures, policies.Signature{By: policies.SignedBy{Signer: s.Name(), ID: s.ID()}})
			}
			for _, a := range []policies.Attestation{{Type: cycloneDX, Predicate: []byte(`{"bomFormat":"CycloneDX"}`)}, {Type: review, Predicate: []byte(pick("{}", "{}", "[]"))}} {
				if random.IntN(4) > 0 {
					a.By = policies.SignedBy{Signer: s.Name(), ID: s.ID()}
					e.Attestations = append(e.Attestations, a)
				}
			}
		}
		f := policies.Findings{At: now, Images: map[string]policies.Evidence{web.Pinned(): e}}
		for _, p := range []string{"pods", "network"} {
			if random.IntN(4) > 0 {
				f.Policies = append(f.Policies, policies.PolicyResult{Policy: p})
			}
		}
		if coin() {
			f.Change = &policies.Change{Rewritten: random.IntN(4) == 0, Accepted: "77be1c2"}
			for range random.IntN(3) {
				c := policies.Commit{ID: fmt.Sprint(random.Int()), SignedBy: pick("ada", "ada", ""), PullRequest: &policies.PullRequest{Number: 1, Author: "ada"}}
				for _, who := range []string{"ada", "bob", "eve"} {
					if coin() {
						c.PullRequest.Approvals = append(c.PullRequest.Approvals, who)
					}
				}
				f.Change.Commits = append(f.Change.Commits, c)
			}
		}
		return f
	}
	accepts := func(d policies.Demands, f policies.Findings) bool {
		_, err := policies.Judge(release, d, f)
		return err == nil
	}
	// alone is how demands judge that may only tighten: over a baseline that
	// covers everything and asks nothing that is not there.
	alone := func(d policies.Demands, f policies.Findings) bool {
		base := policies.NoDemands()
		base.Trust = everybody
		return accepts(d, f) || accepts(base.And(d), f)
	}
	accepted := 0
	for range 4_000 {
		a, b, c, f := demands(), demands(), demands(), findings()
		both := a.And(b)
		for what, same := range map[string]policies.Demands{
			"order": b.And(a), "repetition": both.And(a).And(b).And(b), "nothing": both.And(policies.NoDemands()),
		} {
			if same.Fingerprint() != both.Fingerprint() || accepts(same, f) != accepts(both, f) {
				t.Fatalf("%s matters: %+v and %+v", what, a, b)
			}
		}
		if a.And(b).And(c).Fingerprint() != a.And(b.And(c)).Fingerprint() {
			t.Fatal("the way they are put together matters")
		}
		if !accepts(both, f) {
			if accepts(a, f) && accepts(b, f) {
				t.Fatalf("both accept, and together they do not: %+v and %+v", a, b)
			}
			continue
		}
		accepted++
		if !alone(a, f) || !alone(b, f) || !accepts(a, f) && !accepts(b, f) {
			t.Fatalf("together they accept what one refuses: %+v and %+v", a, b)
		}
		if zero := both.And(policies.Demands{}); accepts(zero, f) {
			t.Fatal("the zero demands were added, and something was accepted")
		}
	}
	if accepted < 100 {
		t.Errorf("only %d of the tries were accepted, which shows little", accepted)
	}
}

func TestTheStricterDemandHolds(t *testing.T) {
	t.Parallel()
	a := policies.Demands{Policies: []string{"pods", "network"}, Commit: policies.CommitDemand{Signed: policies.SignedHead, FollowRewrites: true}, Approvals: 1}
	b := policies.Demands{Policies: []string{"pods", "images"}, Commit: policies.CommitDemand{Signed: policies.SignedEvery}, Approvals: 2}
	got := a.And(b)
	if !slices.Equal(got.Policies, []string{"images", "network", "pods"}) || got.Commit.Signed != policies.SignedEvery || got.Commit.FollowRewrites || got.Approvals != 2 {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(a.Policies, []string{"pods", "network"}) {
		t.Error("adding changed what was added")
	}
	if unknown := a.And(policies.Demands{Commit: policies.CommitDemand{Signed: "evry"}}); unknown.Commit.Signed != "evry" {
		t.Error("a demand that is not understood was dropped")
	}
}

func TestDemandsAreTheSameByTheirContent(t *testing.T) {
	t.Parallel()
	key := policies.Key{Name: "release", PEM: publicKey(t)}
	base := policies.Demands{Trust: trustOf(t, policies.Rule{Images: "**", Keys: []policies.Key{key}}), Policies: []string{"a", "b"}, Approvals: 1}
	seen := map[string]string{base.Fingerprint(): "base"}
	same := base
	same.Policies = []string{"b", "a", "b"}
	if same.Fingerprint() != base.Fingerprint() {
		t.Error("the order of policies is no content")
	}
	for what, edit := range map[string]func(*policies.Demands){
		"trust": func(d *policies.Demands) { d.Trust = policies.Trust{} },
		"added": func(d *policies.Demands) {
			d.Trust = tightening(t, policies.Rule{Images: "**", Keys: []policies.Key{key}})
		},
		"policies":  func(d *policies.Demands) { d.Policies = []string{"a"} },
		"signed":    func(d *policies.Demands) { d.Commit.Signed = policies.SignedHead },
		"rewrites":  func(d *policies.Demands) { d.Commit.FollowRewrites = true },
		"approvals": func(d *policies.Demands) { d.Approvals = 2 },
	} {
		d := base
		edit(&d)
		if other, ok := seen[d.Fingerprint()]; ok {
			t.Errorf("%s has the fingerprint of %s", what, other)
		}
		seen[d.Fingerprint()] = what
	}
}
