// Package worktree reads a folder on disk as a tree, for the commands that
// people run in their checkout.
package worktree

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/gitsync"
)

// Read returns the folder's files as they are now, without .git. Links are
// kept as links, as in a commit, and never followed.
func Read(folder string) (gitsync.Tree, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return gitsync.Tree{}, fmt.Errorf("read folder %s: %w", folder, err)
	}
	defer root.Close()
	entries := map[string]gitsync.Entry{}
	contents := map[string][]byte{} // by hash
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case d.IsDir():
			entries[p] = gitsync.Entry{Kind: gitsync.Folder}
		case d.Type()&fs.ModeSymlink != 0:
			entries[p] = gitsync.Entry{Kind: gitsync.Symlink}
		case d.Type().IsRegular():
			content, err := root.ReadFile(filepath.FromSlash(p))
			if err != nil {
				return err
			}
			sum := sha256.Sum256(content)
			hash := hex.EncodeToString(sum[:])
			contents[hash] = content
			entries[p] = gitsync.Entry{Kind: gitsync.File, Hash: hash, Size: int64(len(content))}
		}
		return nil
	})
	if err != nil {
		return gitsync.Tree{}, fmt.Errorf("read folder %s: %w", folder, err)
	}
	hashFolders(entries)
	return gitsync.NewTree(entries, func(e gitsync.Entry) ([]byte, error) { return contents[e.Hash], nil }), nil
}

// Find returns the nearest folder at or above start that holds the file.
func Find(start, file string) (string, error) {
	for folder := start; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, file)); err == nil {
			return folder, nil
		}
		if folder == filepath.Dir(folder) {
			return "", fmt.Errorf("no %s in %s or a folder above it: run this in a config repo, or name one with --repo", file, start)
		}
	}
}

// hashFolders gives each folder a hash that covers all below it.
func hashFolders(entries map[string]gitsync.Entry) {
	children := map[string][]string{}
	for p := range entries {
		if p != "." {
			children[path.Dir(p)] = append(children[path.Dir(p)], p)
		}
	}
	var hash func(p string) string
	hash = func(p string) string {
		e := entries[p]
		if e.Kind == gitsync.Folder {
			lines := make([]string, 0, len(children[p]))
			for _, c := range children[p] {
				lines = append(lines, path.Base(c)+"\x00"+hash(c))
			}
			slices.Sort(lines)
			sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
			e.Hash = hex.EncodeToString(sum[:])
			entries[p] = e
		}
		return e.Hash
	}
	hash(".")
}
