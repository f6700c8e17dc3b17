package gitsync_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
)

func example() gitsync.Tree {
	return trees.FromMap(map[string]string{
		"pawl.yaml":          "kind: Pipeline\n",
		"apps/web/a.yaml":    "a: 1\n",
		"apps/web-old/b":     "b\n",
		"apps/link":          trees.Link("../../secret"),
		"vendor/submodule":   trees.Submodule,
		"apps/web/sub/c.txt": "c\n",
	})
}

func TestTreeIsWalkedFolderByFolder(t *testing.T) {
	t.Parallel()
	var got []string
	for p := range example().All() {
		got = append(got, p)
	}
	want := []string{".", "apps", "apps/link", "apps/web", "apps/web/a.yaml", "apps/web/sub", "apps/web/sub/c.txt",
		"apps/web-old", "apps/web-old/b", "pawl.yaml", "vendor", "vendor/submodule"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for p := range example().All() {
		if p == "apps" {
			break // stopping early must not panic
		}
	}
}

func TestTreeReadsFilesAndNothingElse(t *testing.T) {
	t.Parallel()
	tree := example()
	for p, want := range map[string]string{"apps/web/a.yaml": "a: 1\n", "./pawl.yaml": "kind: Pipeline\n", "apps/x/../web/a.yaml": "a: 1\n"} {
		if got, err := tree.Read(p); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", p, got, err)
		}
	}
	for _, p := range []string{"nothing", "apps/web/a.yaml/below", "../pawl.yaml", "/pawl.yaml", "..", ""} {
		if got, err := tree.Read(p); err == nil {
			t.Errorf("%q was read: %q", p, got)
		}
	}
	// catalogue 5
	for _, p := range []string{"apps", "apps/link", "vendor/submodule", "."} {
		if _, err := tree.Read(p); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v; want a refusal that is not \"does not exist\"", p, err)
		}
	}
	if e, ok := tree.Lookup("apps/link"); !ok || e.Kind != gitsync.Symlink {
		t.Errorf("link: %+v %v", e, ok)
	}
	if names := tree.List("apps"); !slices.Equal(names, []string{"link", "web", "web-old"}) {
		t.Errorf("apps holds %v", names)
	}
	if names := tree.List("pawl.yaml"); len(names) > 0 {
		t.Errorf("a file holds %v", names)
	}
}

// catalogue 57
func TestWhatIsKeptInLFSIsNotRead(t *testing.T) {
	t.Parallel()
	const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	tree := trees.FromMap(map[string]string{"a.yaml": pointer, "b.md": "See:\n" + pointer})
	if content, err := tree.Read("a.yaml"); err == nil || !strings.Contains(err.Error(), "a.yaml: the file is kept in Git LFS") {
		t.Errorf("%q, %v", content, err)
	}
	if content, err := fs.ReadFile(tree.FS(), "a.yaml"); err == nil || !strings.Contains(err.Error(), "a.yaml: the file is kept in Git LFS") {
		t.Errorf("%q, %v", content, err)
	}
	if _, err := tree.Read("b.md"); err != nil {
		t.Error(err)
	}
}

func TestTheZeroTreeIsEmpty(t *testing.T) {
	t.Parallel()
	var tree gitsync.Tree
	if _, err := tree.Read("pawl.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, ok := tree.Lookup("."); ok || tree.List(".") != nil {
		t.Error("not empty")
	}
	for p := range tree.All() {
		t.Error(p)
	}
}

func TestTreeIsAFileSystem(t *testing.T) {
	t.Parallel()
	plain := trees.FromMap(map[string]string{"pawl.yaml": "kind: Pipeline\n", "apps/web/a.yaml": "a: 1\n", "apps/b": ""})
	if err := fstest.TestFS(plain.FS(), "pawl.yaml", "apps/web/a.yaml", "apps/b"); err != nil {
		t.Error(err)
	}
	entries, err := fs.ReadDir(example().FS(), "apps")
	if err != nil {
		t.Fatal(err)
	}
	if entries[0].Type() != fs.ModeSymlink || entries[0].IsDir() {
		t.Errorf("the link is listed as %s", entries[0].Type())
	}
	if entries, _ := fs.ReadDir(example().FS(), "vendor"); entries[0].Type() != fs.ModeIrregular {
		t.Errorf("the submodule is listed as %s", entries[0].Type())
	}
	for _, p := range []string{"apps/link", "vendor/submodule"} {
		if _, err := fs.ReadFile(example().FS(), p); err == nil {
			t.Errorf("%s was opened", p)
		}
	}
}

func TestCommitsAreQuotedShort(t *testing.T) {
	t.Parallel()
	for c, want := range map[gitsync.Commit]string{"8d2e1a7f00": "8d2e1a7", "8d2": "8d2", "": ""} {
		if c.Short() != want {
			t.Errorf("%s: %s", c, c.Short())
		}
	}
}
