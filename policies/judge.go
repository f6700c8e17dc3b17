package policies

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/pawl-dev/pawl/render"
)

var errUnpinned = errors.New("is not pinned by a digest")

// Judge decides whether a release may run. Every image in it must be pinned,
// covered by a rule, present in its registry, and signed as every covering
// rule demands; what is not in the evidence was not found. evidence is keyed
// by Image.Pinned. An error is a *Refusal.
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
	v := Verified{release: release}
	for _, image := range release.Images {
		e := found.Images[image.Pinned()]
		if r, ok := judgeImage(image, demands.Trust, e); !ok {
			refusal.Images = append(refusal.Images, r)
			continue
		}
		v.evidence = append(v.evidence, e.clone())
	}
	if len(refusal.Images) > 0 {
		return Verified{}, refusal
	}
	v.release = v.Release()
	return v, nil
}

func judgeImage(image render.Image, trust Trust, e Evidence) (ImageRefusal, bool) {
	r := ImageRefusal{Image: image.Pinned(), Object: image.Object, Field: image.Field}
	repository, digest, err := parsePinned(image.Reference)
	if err != nil {
		r.Image = clip(image.Reference, 300)
		r.Demanded = "a reference pinned by a sha256 digest"
		r.Found = err.Error()
		r.Hint = "Write its digest into the overlay's images"
		return r, false
	}
	if repository != image.Repository || digest != image.Digest {
		// The evidence was looked for under one name and the cluster would pull
		// another. Nothing that people write can cause it.
		r.Image = clip(image.Reference, 300)
		r.Demanded = "the reference that was verified"
		r.Found = fmt.Sprintf("was rendered as %s", image.Pinned())
		r.Hint = "This is a defect of the agent, please report it"
		return r, false
	}
	rules := trust.Rules(repository)
	if len(rules) == 0 {
		r.Demanded = "a trust rule that covers " + repository
		r.Found = "is covered by no trust rule"
		r.Hint = fmt.Sprintf("If %s is meant to run here, add a rule with its signer to the trust of the agent's configuration", repository)
		return r, false
	}
	if e.Image != image.Pinned() {
		e = Evidence{Problem: "was not looked at, so nothing is known of it"}
	}
	if !e.Exists {
		r.Demanded = "an image in the registry under this very digest"
		r.Found = cmp.Or(e.Problem, "is not in the registry")
		r.Hint = "Push it again, or pin a digest that exists"
		return r, false
	}
	missing := unsatisfied(rules, e)
	if len(missing) == 0 {
		return ImageRefusal{}, true
	}
	var demanded []string
	for _, rule := range missing {
		demanded = append(demanded, "signature by "+anyOf(rule.Keys))
	}
	r.Demanded = "a " + strings.Join(demanded, ", and a ")
	r.Found = "has no " + strings.Join(demanded, " and no ")
	switch n := len(e.Rejected); n {
	case 0:
	case 1:
		r.Found += "; what was found does not count: " + e.Rejected[0]
	default:
		r.Found += fmt.Sprintf("; %d found ones do not count, the first: %s", n, e.Rejected[0])
	}
	r.Hint = fmt.Sprintf("Sign it (cosign sign --key … %s) or add its signer to the trust of the agent's configuration", image.Pinned())
	return r, false
}

// anyOf names the keys of which one is enough: `the key "release"`,
// `one of the keys "release", "backup"`.
func anyOf(keys []Key) string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = fmt.Sprintf("%q", k.Name)
	}
	if len(names) == 1 {
		return "the key " + names[0]
	}
	return "one of the keys " + strings.Join(names, ", ")
}
