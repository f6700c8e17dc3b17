package gitsync

import (
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
)

// Tree is the files of a revision, read without a checkout. It never changes.
// Paths are slash-separated and relative to the root, "." being the root.
type Tree struct {
	entries map[string]Entry
	// children lists the names in each folder, sorted.
	children map[string][]string
	read     func(Entry) ([]byte, error)
}

// Entry is a file, folder, symbolic link or submodule of a tree.
type Entry struct {
	// Hash identifies the content: two entries of one hash are the same, a
	// folder's hash covers everything below it.
	Hash string
	Kind Kind
	Size int64 // of files and links, in bytes
}

// Kind is what an entry is.
type Kind int

const (
	File Kind = iota + 1
	Folder
	Symlink
	Submodule
)

// NewTree makes a tree of entries by path, folders and the root "." among
// them. read returns the content of a file or the target of a link.
func NewTree(entries map[string]Entry, read func(Entry) ([]byte, error)) Tree {
	children := map[string][]string{}
	for p := range entries {
		if p != "." {
			children[path.Dir(p)] = append(children[path.Dir(p)], path.Base(p))
		}
	}
	for _, names := range children {
		slices.Sort(names)
	}
	return Tree{entries: entries, children: children, read: read}
}

// Lookup returns the entry at a path; links are not followed.
func (t Tree) Lookup(p string) (Entry, bool) {
	e, ok := t.entries[path.Clean(p)]
	return e, ok
}

// List returns the names in a folder, sorted.
func (t Tree) List(folder string) []string { return slices.Clone(t.children[path.Clean(folder)]) }

// Read returns the content of a file. The error is fs.ErrNotExist where
// there is none; links, folders and submodules are not read.
func (t Tree) Read(p string) ([]byte, error) {
	e, ok := t.entries[path.Clean(p)]
	if !ok {
		return nil, fmt.Errorf("%s: %w", p, fs.ErrNotExist)
	}
	if e.Kind != File {
		return nil, fmt.Errorf("%s: not a regular file", p)
	}
	return t.read(e)
}

// All walks every entry, in the order of the paths.
func (t Tree) All() iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		for _, p := range slices.Sorted(maps.Keys(t.entries)) {
			if !yield(p, t.entries[p]) {
				return
			}
		}
	}
}
