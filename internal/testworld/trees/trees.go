// Package trees makes trees of revisions from maps, folders and txtar archives,
// so that tests of rendering need no git. Contents are hashed as git hashes
// them: the same files have the same hashes, here and in a real repository.
package trees

import (
	"crypto/sha1" //nolint:gosec // git's own object ids
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/pawl-dev/pawl/gitsync"
)

// Link as a file's content makes a symbolic link: Link("../secret").
func Link(to string) string { return linkMark + to }

// Submodule as a file's content makes a submodule at that path.
const Submodule = "\x00submodule"

const linkMark = "\x00link "

// FromMap makes a tree of contents by path.
func FromMap(files map[string]string) gitsync.Tree {
	entries := map[string]gitsync.Entry{}
	contents := map[string][]byte{}
	for name, content := range files {
		e := gitsync.Entry{Kind: gitsync.File}
		if to, ok := strings.CutPrefix(content, linkMark); ok {
			e.Kind, content = gitsync.Symlink, to
		} else if content == Submodule {
			e.Kind = gitsync.Submodule
		}
		e.Hash = id("blob", []byte(content))
		e.Size = int64(len(content))
		contents[e.Hash] = []byte(content)
		entries[path.Clean(name)] = e
	}
	addFolders(entries)
	return gitsync.NewTree(entries, func(e gitsync.Entry) ([]byte, error) {
		content, ok := contents[e.Hash]
		if !ok {
			return nil, fmt.Errorf("object %s: %w", e.Hash, fs.ErrNotExist)
		}
		return slices.Clone(content), nil
	})
}

// FromDir makes a tree of the files in a folder on disk; links stay links.
func FromDir(folder string) (gitsync.Tree, error) {
	files := map[string]string{}
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if d.Type()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(name)
			files[relative] = Link(to)
			return err
		}
		content, err := os.ReadFile(name)
		files[relative] = string(content)
		return err
	})
	if err != nil {
		return gitsync.Tree{}, fmt.Errorf("reading %s as a tree: %w", folder, err)
	}
	return FromMap(files), nil
}

// FromTxtar makes a tree of the files of a txtar archive.
func FromTxtar(archive string) gitsync.Tree {
	files := map[string]string{}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		files[f.Name] = string(f.Data)
	}
	return FromMap(files)
}

// addFolders adds every folder above an entry, its hash covering all below.
func addFolders(entries map[string]gitsync.Entry) {
	below := map[string][]string{".": nil}
	for _, name := range slices.Collect(maps.Keys(entries)) {
		for name != "." {
			parent := path.Dir(name)
			if !slices.Contains(below[parent], name) {
				below[parent] = append(below[parent], name)
			}
			name = parent
		}
	}
	folders := slices.Collect(maps.Keys(below))
	// The deepest first: a folder's hash is made of its children's.
	slices.SortFunc(folders, func(a, b string) int { return depth(b) - depth(a) })
	for _, folder := range folders {
		slices.Sort(below[folder])
		var list strings.Builder
		for _, name := range below[folder] {
			e := entries[name]
			fmt.Fprintf(&list, "%d %s %s\n", e.Kind, path.Base(name), e.Hash)
		}
		entries[folder] = gitsync.Entry{Kind: gitsync.Folder, Hash: id("tree", []byte(list.String()))}
	}
}

func depth(folder string) int {
	if folder == "." {
		return -1
	}
	return strings.Count(folder, "/")
}

func id(kind string, content []byte) string {
	h := sha1.New() //nolint:gosec // git's own object ids
	fmt.Fprintf(h, "%s %d\x00", kind, len(content))
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}
