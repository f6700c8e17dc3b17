package render

import "github.com/pawl-dev/pawl/gitsync"

// trace is everything that a build asked of a tree, and what it was told. A
// build asks nothing else, so where a later tree answers all of it the same,
// the build would end the same.
type trace struct {
	kinds  map[string]gitsync.Kind // what stands at a path; 0 for nothing
	hashes map[string]string       // contents and, for folders, listings
}

func newTrace() trace {
	return trace{kinds: map[string]gitsync.Kind{}, hashes: map[string]string{}}
}

// kind notes that what stands at a path mattered, not what is in it.
func (t trace) kind(p string, k gitsync.Kind) { t.kinds[p] = k }

// content notes that what is in a file, or listed in a folder, mattered. The
// kind is noted as well: a link to "x" has the hash of a file that says "x".
func (t trace) content(p string, e gitsync.Entry) { t.hashes[p] = e.Hash }

// holds says whether a tree gives every answer again.
func (t trace) holds(tree gitsync.Tree) bool {
	for p, k := range t.kinds {
		if e, _ := tree.Lookup(p); e.Kind != k {
			return false
		}
	}
	for p, h := range t.hashes {
		if e, _ := tree.Lookup(p); e.Hash != h {
			return false
		}
	}
	return true
}
