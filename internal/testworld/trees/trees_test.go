package trees_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
)

func TestContentsAreHashedAsGitDoes(t *testing.T) {
	t.Parallel()
	tree := trees.FromMap(map[string]string{"greeting": "hello\n"})
	e, _ := tree.Lookup("greeting")
	if want := "ce013625030ba8dba906f756967f9e9ca394464a"; e.Hash != want {
		t.Errorf("hash %s, git says %s", e.Hash, want)
	}
}

func TestAFoldersHashCoversEverythingBelow(t *testing.T) {
	t.Parallel()
	before := trees.FromMap(map[string]string{"a/b/c": "1", "d/e": "2"})
	after := trees.FromMap(map[string]string{"a/b/c": "changed", "d/e": "2"})
	for name, differs := range map[string]bool{".": true, "a": true, "a/b": true, "d": false} {
		x, _ := before.Lookup(name)
		y, _ := after.Lookup(name)
		if x.Kind != gitsync.Folder || (x.Hash != y.Hash) != differs {
			t.Errorf("%s: kind %d, hashes %s and %s, want different %v", name, x.Kind, x.Hash, y.Hash, differs)
		}
	}
}

func TestMapFolderAndArchiveMakeTheSameTree(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "base"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "base", "x.yaml"), []byte("a: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fromDir, err := trees.FromDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	fromMap := trees.FromMap(map[string]string{"base/x.yaml": "a: 1\n"})
	fromTxtar := trees.FromTxtar("-- base/x.yaml --\na: 1\n")
	want := maps.Collect(fromMap.All())
	if got := maps.Collect(fromDir.All()); !maps.Equal(got, want) {
		t.Errorf("folder: %v, want %v", got, want)
	}
	if got := maps.Collect(fromTxtar.All()); !maps.Equal(got, want) {
		t.Errorf("archive: %v, want %v", got, want)
	}
	content, err := fromTxtar.Read("base/x.yaml")
	if string(content) != "a: 1\n" || err != nil {
		t.Errorf("read %q, %v", content, err)
	}
	if got := fromDir.List("."); !slices.Equal(got, []string{"base"}) {
		t.Errorf("list %v", got)
	}
}

func TestLinksAndSubmodulesAreThemselves(t *testing.T) {
	t.Parallel()
	tree := trees.FromMap(map[string]string{"link": trees.Link("../secret"), "vendor/lib": trees.Submodule})
	if e, _ := tree.Lookup("link"); e.Kind != gitsync.Symlink {
		t.Errorf("link: %v", e)
	}
	if e, _ := tree.Lookup("vendor/lib"); e.Kind != gitsync.Submodule {
		t.Errorf("submodule: %v", e)
	}
}
