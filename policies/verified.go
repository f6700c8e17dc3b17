// Package policies decides whether a release may run: trust, evidence and the
// verdict. Collecting evidence from a registry is in cosign.
package policies

import (
	"maps"
	"slices"

	"github.com/pawl-dev/pawl/render"
)

// Verified is a release whose every image was judged and found good, and which
// no policy denies. Only Judge makes one that is not zero, and nothing else is
// ever applied. Go lets anybody write the zero value, so whoever acts on one
// asks IsZero first.
type Verified struct {
	release  render.Release
	evidence []Evidence
	policies []PolicyResult
	demands  string
}

// IsZero reports whether v was not made by Judge.
func (v Verified) IsZero() bool { return v.release.Digest == "" }

// Release returns a copy of the release; changing it does not change v.
func (v Verified) Release() render.Release {
	r := v.release
	r.Objects = nil
	for _, o := range v.release.Objects {
		r.Objects = append(r.Objects, o.DeepCopy())
	}
	r.Images = slices.Clone(v.release.Images)
	r.Unlisted = slices.Clone(v.release.Unlisted)
	r.Places = maps.Clone(v.release.Places)
	return r
}

// Evidence returns what was found for each image, in the order of Release().Images.
func (v Verified) Evidence() []Evidence {
	var out []Evidence
	for _, e := range v.evidence {
		out = append(out, e.clone())
	}
	return out
}

// Policies returns what each policy said; none of them denied.
func (v Verified) Policies() []PolicyResult { return clonePolicies(v.policies) }

// Warning is what a policy has to say without denying.
type Warning struct {
	Policy string
	PolicyMessage
}

// Warnings returns what the policies warn of.
func (v Verified) Warnings() []Warning {
	var out []Warning
	for _, p := range v.policies {
		for _, m := range p.Warned {
			out = append(out, Warning{p.Policy, m})
		}
	}
	return out
}

// Demands is the fingerprint of the demands that were met (Demands.Fingerprint).
func (v Verified) Demands() string { return v.demands }

func clonePolicies(results []PolicyResult) []PolicyResult {
	results = slices.Clone(results)
	for i, r := range results {
		results[i].Denied, results[i].Warned = slices.Clone(r.Denied), slices.Clone(r.Warned)
	}
	return results
}
