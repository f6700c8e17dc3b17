package render

import (
	"fmt"
)

// Restore makes a release anew of objects that were kept of it: it is measured,
// sorted and searched for images as if it had been built just now. It must
// come out with the same digest.
func (r *Renderer) Restore(kept Release, declared ...KindFields) (Release, error) {
	var built Built
	for _, o := range kept.Objects {
		built.Objects = append(built.Objects, o.DeepCopy().Object)
	}
	fields, err := r.images.with(declared)
	if err != nil {
		return Release{}, placed(err, kept.Target)
	}
	release, err := judge(built, kept.Target, r.limits, fields.compile())
	if err != nil {
		return Release{}, fmt.Errorf("the release of %s that was kept cannot be used: %w", kept.Commit.Short(), err)
	}
	if release.Digest != kept.Digest {
		return Release{}, fmt.Errorf("%s: the release of %s that was kept is not what it was: its objects have another digest", kept.Target, kept.Commit.Short())
	}
	release.Commit = kept.Commit
	return release, nil
}
