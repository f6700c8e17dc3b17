package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/render"
)

func judgeImage(image render.Image, trust Trust, e Evidence, at time.Time) (ImageRefusal, bool) {
	r := ImageRefusal{Image: image.Pinned(), Object: image.Object, Field: image.Field, File: image.File, Line: image.Line}
	repository, digest, err := parsePinned(image.Reference)
	if err != nil {
		r.Image = Clip(image.Reference, 300)
		r.Demanded = "a reference pinned by a sha256 digest"
		r.Found = err.Error()
		r.Hint = "Write its digest into the overlay's images"
		return r, false
	}
	if repository != image.Repository || digest != image.Digest {
		// The evidence was looked for under one name and the cluster would pull
		// another. Nothing that people write can cause it.
		r.Image = Clip(image.Reference, 300)
		r.Demanded = "the reference that was verified"
		r.Found = fmt.Sprintf("was rendered as %s", image.Pinned())
		r.Hint = "This is a defect of the agent, please report it"
		return r, false
	}
	rules := trust.covering(repository)
	if len(rules) == 0 {
		r.Demanded = "a trust rule that covers " + repository
		r.Found = "is covered by no trust rule"
		r.Hint = fmt.Sprintf("If %s is meant to run here, add a rule with its signer to the trust of the agent's configuration", repository)
		return r, false
	}
	if e.Image != image.Pinned() {
		r.Demanded = "evidence that was looked for"
		r.Found = "was not looked at, so nothing is known of it"
		r.Hint = "See in the agent's log why nothing was collected"
		return r, false
	}
	if !e.Exists {
		r.Demanded = "an image in the registry under this very digest"
		r.Found = cmp.Or(e.Problem, "is not in the registry")
		r.Hint = "Push it again, or pin a digest that exists"
		return r, false
	}
	var missing unmet
	for _, rule := range rules {
		missing = append(missing, rule.unmet(e, at)...)
	}
	if len(missing) == 0 {
		return ImageRefusal{}, true
	}
	r.Demanded, r.Found, r.Hint = missing.demanded(), missing.says(), missing.hint(image.Pinned())
	switch n := len(e.Rejected); n {
	case 0:
	case 1:
		r.Found += "; what was found does not count: " + Clip(e.Rejected[0], maxText)
	default:
		r.Found += fmt.Sprintf("; %d found ones do not count, the first: %s", n, Clip(e.Rejected[0], maxText))
	}
	return r, false
}

// unmet are demands that were not met, each by a signature or by an attestation.
type unmet []unmetDemand

type unmetDemand struct {
	rule        trustRule
	signers     []Signer // without a signature; one of them is enough
	attestation *unmetAttestation
}

// unmet says which demands of the rule the evidence does not meet.
func (r trustRule) unmet(e Evidence, at time.Time) (out unmet) {
	missing := slices.DeleteFunc(slices.Clone(r.signers), func(s Signer) bool {
		return slices.ContainsFunc(e.Signatures, func(found Signature) bool { return found.By.ID != "" && found.By.ID == s.ID() })
	})
	if len(missing) > 0 && (r.all || len(missing) == len(r.signers)) {
		out = append(out, unmetDemand{rule: r, signers: missing})
	}
	for _, a := range r.attestations {
		if u := a.unmet(e, at); u != nil {
			out = append(out, unmetDemand{rule: r, attestation: u})
		}
	}
	return out
}

// demanded is what would be enough.
func (u unmet) demanded() string {
	var out []string
	for _, d := range u {
		if d.attestation != nil {
			out = append(out, d.attestation.demanded())
		} else {
			out = append(out, "a signature by "+by(d.signers, d.rule.all))
		}
	}
	return strings.Join(once(out), ", and ")
}

// says goes on after the image's name. What is missing comes first.
func (u unmet) says() string {
	var missing, poor []string
	for _, d := range u {
		if d.attestation == nil {
			missing = append(missing, "signature by "+by(d.signers, d.rule.all))
		} else if d.attestation.found > 0 {
			poor = append(poor, d.attestation.says())
		}
	}
	for _, m := range u.missingAttestations() {
		missing = append(missing, fmt.Sprintf("attestation of type %s by %s", alternatives(m.types), by(m.signers, false)))
	}
	var out []string
	if len(missing) > 0 {
		out = append(out, "has no "+strings.Join(once(missing), " and no "))
	}
	return strings.Join(append(out, once(poor)...), ", and ")
}

// hint is the next step, or the next steps.
func (u unmet) hint(image string) string {
	var out []string
	for _, d := range u {
		switch {
		case d.attestation == nil:
			where := "the trust of the agent's configuration"
			if d.rule.added {
				where = fmt.Sprintf("the rule for %q that is added to it", d.rule.images)
			}
			out = append(out, fmt.Sprintf("Sign it (cosign sign %s%s) or add its signer to %s", keyFlag(d.signers), image, where))
		case d.attestation.found > 0:
			out = append(out, d.attestation.hint(image))
		}
	}
	for _, m := range u.missingAttestations() {
		each, what := "it", m.types[0]
		if len(m.types) > 1 {
			each, what = "each of them", "…"
		}
		out = append(out, fmt.Sprintf("Attest %s (cosign attest --type %s --predicate … %s%s)", each, what, keyFlag(m.signers), image))
	}
	return strings.Join(once(out), ". ")
}

// missingAttestations are types of which there is no attestation, by who should
// have made them.
func (u unmet) missingAttestations() (out []missingAttestations) {
	for _, d := range u {
		if d.attestation == nil || d.attestation.found > 0 {
			continue
		}
		demand := d.attestation.demand
		i := slices.IndexFunc(out, func(m missingAttestations) bool { return slices.Equal(ids(m.signers), ids(demand.signers)) })
		if i < 0 {
			i, out = len(out), append(out, missingAttestations{signers: demand.signers})
		}
		out[i].types = once(append(out[i].types, PredicateName(demand.Type)))
	}
	return out
}

type missingAttestations struct {
	signers []Signer
	types   []string
}

// alternatives joins words as people do: "a, b or c".
func alternatives(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// once keeps the first of equal texts.
func once(texts []string) []string {
	var out []string
	for _, t := range texts {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}
