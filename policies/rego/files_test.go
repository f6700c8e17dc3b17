package rego_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/policies/rego"
)

func TestFoldersAndFilesOfPolicies(t *testing.T) {
	t.Parallel()
	tree := fstest.MapFS{
		"one/main.rego":       {Data: []byte("1")},
		"one/lib/lib.rego":    {Data: []byte("2")},
		"one/lists/a.yml":     {Data: []byte("3")},
		"one/README.md":       {Data: []byte("4")},
		"one/.git/hook.rego":  {Data: []byte("5")},
		"one/.hidden.rego":    {Data: []byte("6")},
		"many/a/a.rego":       {},
		"many/b/deep/b.rego":  {},
		"many/docs/README.md": {},
		"none/a.yaml":         {},
	}
	for folder, want := range map[string][]string{"one": {"one"}, "many": {"many/a", "many/b"}} {
		got, err := rego.Folders(tree, folder)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", folder, err, diff)
		}
	}
	if _, err := rego.Folders(tree, "none"); err == nil || !strings.Contains(err.Error(), "no .rego file") {
		t.Errorf("none: %v", err)
	}
	if _, err := rego.Folders(tree, "missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	files, err := rego.Files(tree, "one")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"lib/lib.rego", "lists/a.yml", "main.rego"}, slices.Sorted(maps.Keys(files))); diff != "" || string(files["main.rego"]) != "1" {
		t.Error(diff)
	}
}

func TestFilesThatNoPolicyMayHave(t *testing.T) {
	t.Parallel()
	linked := t.TempDir()
	if err := os.Symlink("/etc/passwd", linked+"/a.rego"); err != nil {
		t.Fatal(err)
	}
	many := fstest.MapFS{}
	for i := range 201 {
		many["p/"+strings.Repeat("a", i+1)+".rego"] = &fstest.MapFile{}
	}
	large := fstest.MapFS{"p/a.rego": {Data: make([]byte, 300<<10)}}
	for want, c := range map[string]struct {
		fsys   fs.FS
		folder string
	}{
		"is no regular file":      {os.DirFS(linked), "."},
		"has more than 200 files": {many, "p"},
		"may have 256":            {large, "p"},
	} {
		if _, err := rego.Files(c.fsys, c.folder); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nshould say %q", err, want)
		}
	}
}
