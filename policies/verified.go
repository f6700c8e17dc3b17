// Package policies decides whether a release may run: trust, evidence and the
// verdict. Collecting evidence from a registry is in cosign.
package policies

import "github.com/pawl-dev/pawl/render"

// Verified is a release whose every image was judged and found good. Only
// Judge makes one that is not zero, and nothing else is ever applied. Go
// lets anybody write the zero value, so whoever acts on one asks IsZero first.
type Verified struct {
	release  render.Release
	evidence []Evidence
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
	r.Images = append([]render.Image(nil), v.release.Images...)
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
