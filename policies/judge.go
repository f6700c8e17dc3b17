package policies

import (
	"strings"

	"github.com/pawl-dev/pawl/render"
)

// Judge decides whether a release may run. Every image in it must be pinned,
// covered by a rule, present in its registry, and signed and attested as every
// covering rule demands; every demanded policy must have answered, and none may
// deny; and a change must have come about as is demanded. What is not in the
// findings was not found. An error is a *Refusal with everything that is unmet.
//
// The verified release is a copy: changing the objects afterwards does not
// change what was judged.
func Judge(release render.Release, demands Demands, found Findings) (Verified, error) {
	refusal := &Refusal{Target: release.Target}
	switch {
	case release.Digest == "":
		refusal.Reason = "the release is empty: nothing was rendered, so nothing can be verified"
	case len(release.Objects) == 0:
		refusal.Reason = "the release has no objects, and applying it would mean to remove everything. Remove the overlay if that is meant"
	}
	if refusal.Reason != "" {
		return Verified{}, refusal
	}
	v := Verified{release: release, demands: demands.Fingerprint()}
	for _, image := range release.Images {
		e := found.Images[image.Pinned()]
		if r, ok := judgeImage(image, demands.Trust, e, found.At); !ok {
			refusal.Images = append(refusal.Images, r)
			continue
		}
		v.evidence = append(v.evidence, e.clone())
	}
	refusal.Denials = append(refusal.Denials, judgePolicies(demands.Policies, found.Policies, release.Places)...)
	if found.Change != nil {
		refusal.Denials = append(refusal.Denials, judgeChange(release.Commit, demands, *found.Change)...)
	}
	if len(refusal.Images)+len(refusal.Denials) > 0 {
		return Verified{}, refusal
	}
	v.policies = clonePolicies(found.Policies)
	v.release = v.Release()
	return v, nil
}

// judgePolicies refuses where a demanded policy was not evaluated, or any
// policy denies or has no answer.
func judgePolicies(demanded []string, results []PolicyResult, places map[string]render.Place) (denials []Denial) {
	answered := map[string]bool{}
	for _, r := range results {
		answered[r.Policy] = true
		demand := "that the policy " + r.Policy + " denies nothing"
		if r.Problem != "" {
			denials = append(denials, Denial{
				Kind: DeniedByPolicy, Subject: r.Policy, Demanded: demand,
				Found: "gave no answer: " + Clip(r.Problem, maxText),
				Hint:  "Mend the policy; as long as it has no answer nothing is applied",
			})
		}
		for _, m := range r.Denied {
			what := strings.TrimSpace(m.Object + " " + m.Image)
			text := Clip(m.Text, maxText)
			if text == "" {
				text = "without saying why"
			}
			if what != "" {
				what = " " + Clip(what, maxText)
			}
			place := places[m.Object]
			denials = append(denials, Denial{
				Kind: DeniedByPolicy, Subject: r.Policy, Demanded: demand,
				Found: "denies" + what + ": " + text,
				Hint:  "Change what it denies, and push that",
				Rule:  Clip(m.Rule, 100), Object: m.Object, File: place.File, Line: place.Line,
			})
		}
	}
	for _, name := range set(demanded) {
		if !answered[name] {
			denials = append(denials, Denial{
				Kind: DeniedByPolicy, Subject: name, Demanded: "that the policy " + name + " denies nothing",
				Found: "was not evaluated",
				Hint:  "Nothing is applied without its answer; add the policy to the agent's configuration, or to the policies that pawl.yaml names",
			})
		}
	}
	return denials
}
