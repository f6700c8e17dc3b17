package gitsync_test

import (
	"testing"

	"github.com/pawl-dev/pawl/internal/testworld/trees"
)

func TestWithReplacesFilesAndNothingElse(t *testing.T) {
	t.Parallel()
	tree := trees.FromMap(map[string]string{"a/one": "1", "a/two": "2", "b/one": "3"})
	with, err := tree.With(map[string][]byte{"a/one": []byte("new")})
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{"a/one": "new", "a/two": "2", "b/one": "3"} {
		if got, err := with.Read(p); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v); want %q", p, got, err, want)
		}
	}
	if got, _ := tree.Read("a/one"); string(got) != "1" {
		t.Errorf("the tree that With was called on changed: %q", got)
	}
	for p, changed := range map[string]bool{".": true, "a": true, "a/one": true, "a/two": false, "b": false} {
		before, _ := tree.Lookup(p)
		after, _ := with.Lookup(p)
		if (before.Hash != after.Hash) != changed {
			t.Errorf("the hash of %s went from %s to %s; changed should be %v", p, before.Hash, after.Hash, changed)
		}
	}
	for _, p := range []string{"a", "a/three", "c/one"} {
		if _, err := tree.With(map[string][]byte{p: nil}); err == nil {
			t.Errorf("%s was replaced, and is no file of the tree", p)
		}
	}
}
