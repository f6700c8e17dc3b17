package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// verification is what `pawl verify` found.
type verification struct {
	Target   string          `json:"target"`
	Verdict  verdict         `json:"verdict"` // verified or refused
	Images   []verifiedImage `json:"images"`
	Policies []policyVerdict `json:"policies"`
	Refusals []verifyRefusal `json:"refusals"`           // all there are, and each place of an image
	Unlisted []unlistedImage `json:"unlisted,omitempty"` // would be applied unverified
	Others   []string        `json:"leftToAgent"`        // what is demanded and was not judged
}

// verdict is the last word about something.
type verdict string

const (
	isVerified verdict = "verified"
	isRefused  verdict = "refused"

	// Of policies.
	passes     verdict = "passed"
	warns      verdict = "warned"
	denies     verdict = "denied"
	unanswered verdict = "unanswered" // which denies
	unasked    verdict = ""           // there are no policies
)

// verifiedImage is an image and all that its registry has about it.
type verifiedImage struct {
	Image        string        `json:"image"` // by digest alone
	Repository   string        `json:"repository"`
	Digest       string        `json:"digest"`
	Objects      []string      `json:"objects"` // that have it
	Verdict      verdict       `json:"verdict"`
	Policy       verdict       `json:"policy,omitempty"`  // of all policies, about this image and its objects
	Missing      string        `json:"missing,omitempty"` // why the registry does not have it
	Signatures   []signature   `json:"signatures"`
	Attestations []attestation `json:"attestations"`
	Rejected     []string      `json:"rejected"` // why others do not count
}

type signature struct {
	Signer  string `json:"signer"` // its name in the trust rules
	Scheme  string `json:"scheme"` // tag or bundle
	Issuer  string `json:"issuer,omitempty"`
	Subject string `json:"subject,omitempty"`
}

func (s signature) compare(o signature) int {
	return cmp.Or(strings.Compare(s.Signer, o.Signer), strings.Compare(s.Subject, o.Subject), strings.Compare(s.Scheme, o.Scheme))
}

type attestation struct {
	Type string `json:"type"` // as cosign calls it: "cyclonedx"
	signature
}

// policyVerdict is what a policy said of the release.
type policyVerdict struct {
	Policy  string          `json:"policy"`
	Verdict verdict         `json:"verdict"`
	Denied  []policyMessage `json:"denied"`
	Warned  []policyMessage `json:"warned"`
	Problem string          `json:"problem,omitempty"` // why there is no answer
}

type policyMessage struct {
	Rule   string `json:"rule"`
	Text   string `json:"text"`
	Object string `json:"object,omitempty"`
	Image  string `json:"image,omitempty"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
}

// verifyRefusal is one reason why the release is refused.
type verifyRefusal struct {
	Kind     string `json:"kind"`    // image, policy or release
	Subject  string `json:"subject"` // the image, or the policy's name
	Demanded string `json:"demanded,omitempty"`
	Found    string `json:"found"`
	Hint     string `json:"hint,omitempty"`
	Rule     string `json:"rule,omitempty"`
	Object   string `json:"object,omitempty"`
	Field    string `json:"field,omitempty"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
}

// unlistedImage is text that looks like an image, where nobody said that one stands.
type unlistedImage struct {
	Image  string `json:"image"`
	Object string `json:"object"`
	Field  string `json:"field"`
}

// newVerification says of each image, once, and of each policy what was found and judged.
func newVerification(found *examined, judged error) verification {
	v := verification{
		Target: found.release.Target.String(), Verdict: isVerified,
		Images: []verifiedImage{}, Policies: []policyVerdict{}, Refusals: []verifyRefusal{}, Others: leftToAgent(found.demands),
	}
	refusal := &policies.Refusal{}
	if judged != nil {
		v.Verdict = isRefused
		errors.As(judged, &refusal)
	}
	v.Refusals = append(v.Refusals, refusals(refusal)...)
	for _, p := range found.found.Policies {
		v.Policies = append(v.Policies, newPolicyVerdict(p, found.release.Places))
	}
	for _, i := range found.release.Unlisted {
		v.Unlisted = append(v.Unlisted, unlistedImage{i.Reference, i.Object, i.Field})
	}
	at := map[string]int{}
	for _, image := range found.release.Images {
		row, seen := at[image.Pinned()]
		if !seen {
			row, at[image.Pinned()] = len(v.Images), len(v.Images)
			v.Images = append(v.Images, newVerifiedImage(image, found.found.Images[image.Pinned()]))
		}
		i := &v.Images[row]
		if !slices.Contains(i.Objects, image.Object) {
			i.Objects = append(i.Objects, image.Object)
		}
		if slices.ContainsFunc(refusal.Images, func(r policies.ImageRefusal) bool { return r.Object == image.Object && r.Field == image.Field }) {
			i.Verdict = isRefused
		}
	}
	for i := range v.Images {
		image := &v.Images[i]
		if image.Policy = v.policyOn(*image); image.Policy == denies || image.Policy == unanswered {
			image.Verdict = isRefused
		}
	}
	return v
}

func newVerifiedImage(image render.Image, e policies.Evidence) verifiedImage {
	out := verifiedImage{
		Image: image.Pinned(), Repository: image.Repository, Digest: image.Digest, Objects: []string{}, Verdict: isVerified,
		Signatures: []signature{}, Attestations: []attestation{}, Rejected: append([]string{}, e.Rejected...),
	}
	if !e.Exists {
		out.Missing = cmp.Or(e.Problem, "is not in the registry")
	}
	by := func(s policies.SignedBy, scheme policies.Scheme) signature {
		return signature{s.Signer, string(scheme), s.Issuer, s.Subject}
	}
	for _, s := range e.Signatures {
		out.Signatures = append(out.Signatures, by(s.By, s.Scheme))
	}
	for _, a := range e.Attestations {
		out.Attestations = append(out.Attestations, attestation{policies.PredicateName(a.Type), by(a.By, a.Scheme)})
	}
	// A registry lists them in the order of their digests, which says nothing.
	slices.SortFunc(out.Signatures, signature.compare)
	slices.SortFunc(out.Attestations, func(a, b attestation) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), a.signature.compare(b.signature))
	})
	return out
}

func newPolicyVerdict(r policies.PolicyResult, places map[string]render.Place) policyVerdict {
	messages := func(list []policies.PolicyMessage) []policyMessage {
		out := []policyMessage{}
		for _, m := range list {
			place := places[m.Object]
			out = append(out, policyMessage{m.Rule, m.Text, m.Object, m.Image, place.File, place.Line})
		}
		return out
	}
	out := policyVerdict{Policy: r.Policy, Verdict: passes, Denied: messages(r.Denied), Warned: messages(r.Warned), Problem: r.Problem}
	switch {
	case r.Problem != "":
		out.Verdict = unanswered
	case len(r.Denied) > 0:
		out.Verdict = denies
	case len(r.Warned) > 0:
		out.Verdict = warns
	}
	return out
}

// policyOn is what all policies together say about an image and the objects
// that have it.
func (v verification) policyOn(image verifiedImage) verdict {
	about := func(m policyMessage) bool {
		return m.Image == image.Image || m.Image == "" && slices.Contains(image.Objects, m.Object)
	}
	out := unasked
	for _, p := range v.Policies {
		switch {
		case p.Problem != "":
			return unanswered
		case slices.ContainsFunc(p.Denied, about):
			out = denies
		case slices.ContainsFunc(p.Warned, about) && out != denies:
			out = warns
		case out == unasked:
			out = passes
		}
	}
	return out
}

func refusals(r *policies.Refusal) (list []verifyRefusal) {
	if r.Reason != "" {
		list = append(list, verifyRefusal{Kind: "release", Subject: r.Target.String(), Found: r.Reason})
	}
	for _, i := range r.Images {
		list = append(list, verifyRefusal{
			Kind: "image", Subject: i.Image, Demanded: i.Demanded, Found: i.Found, Hint: i.Hint,
			Object: i.Object, Field: i.Field, File: i.File, Line: i.Line,
		})
	}
	for _, d := range r.Denials {
		list = append(list, verifyRefusal{
			Kind: string(d.Kind), Subject: d.Subject, Demanded: d.Demanded, Found: d.Found, Hint: d.Hint,
			Rule: d.Rule, Object: d.Object, File: d.File, Line: d.Line,
		})
	}
	return list
}

// leftToAgent is what is demanded of how a release came about, which only the
// agent can judge: a checkout does not tell, and nobody is asked.
func leftToAgent(d policies.Demands) []string {
	out := []string{}
	switch d.Commit.Signed {
	case policies.SignedHead:
		out = append(out, "whether the newest commit that touches the target is signed (those before it need not be)")
	case policies.SignedEvery:
		out = append(out, "whether each commit that touches the target is signed")
	}
	if d.Approvals > 0 {
		out = append(out, fmt.Sprintf("whether each came by a pull request with %s", count(d.Approvals, "approval")))
	}
	if len(d.Policies) > 0 {
		out = append(out, "what policies say of commits and pull requests")
	}
	if !d.Commit.FollowRewrites {
		out = append(out, "whether the branch was rewritten")
	}
	return append(out, "what pawl.yaml demanded at the commit that was accepted last")
}
