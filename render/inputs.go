package render

import "github.com/pawl-dev/pawl/gitsync"

// Inputs are what a build depended on in its revision's tree. The zero Inputs
// are unknown.
type Inputs struct{ trace trace }

// Alike reports whether two trees are the same in all of it. It is false where
// nothing is known.
func (i Inputs) Alike(a, b gitsync.Tree) bool {
	if len(i.trace.kinds)+len(i.trace.hashes) == 0 {
		return false
	}
	for p := range i.trace.kinds {
		x, _ := a.Lookup(p)
		y, _ := b.Lookup(p)
		if x.Kind != y.Kind {
			return false
		}
	}
	for p := range i.trace.hashes {
		x, _ := a.Lookup(p)
		y, _ := b.Lookup(p)
		if x.Hash != y.Hash {
			return false
		}
	}
	return true
}
