package gitsync

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
)

// Tree is the files of a revision, read without a checkout. It never changes.
// Paths are slash-separated and relative to the root, "." being the root.
type Tree struct {
	root *Node
	read func(Entry) ([]byte, error)
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

// Node is an entry with its name and what is below it. Nodes never change once
// they are in a tree, so that trees can share what they have in common.
type Node struct {
	Name string
	Entry
	Children []*Node // sorted by name
}

// child finds a node below this one.
func (n *Node) child(name string) *Node {
	i, ok := slices.BinarySearchFunc(n.Children, name, func(c *Node, name string) int { return cmp.Compare(c.Name, name) })
	if !ok {
		return nil
	}
	return n.Children[i]
}

// TreeOf makes a tree of its root folder, whose name is ".". read returns the content of a file
// or the target of a link.
func TreeOf(root *Node, read func(Entry) ([]byte, error)) Tree {
	return Tree{root: root, read: read}
}

// NewTree makes a tree of entries by path, folders and the root "." among
// them. read returns the content of a file or the target of a link.
func NewTree(entries map[string]Entry, read func(Entry) ([]byte, error)) Tree {
	nodes := make(map[string]*Node, len(entries))
	for p, e := range entries {
		nodes[p] = &Node{Name: path.Base(p), Entry: e}
	}
	for p, n := range nodes {
		if over, ok := nodes[path.Dir(p)]; ok && p != "." {
			over.Children = append(over.Children, n)
		}
	}
	for _, n := range nodes {
		slices.SortFunc(n.Children, func(a, b *Node) int { return cmp.Compare(a.Name, b.Name) })
	}
	return Tree{root: nodes["."], read: read}
}

func (t Tree) node(p string) *Node {
	n := t.root
	if p = path.Clean(p); p == "." || n == nil {
		return n
	}
	for step := range strings.SplitSeq(p, "/") {
		if n = n.child(step); n == nil {
			return nil
		}
	}
	return n
}

// Lookup returns the entry at a path; links are not followed.
func (t Tree) Lookup(p string) (Entry, bool) {
	n := t.node(p)
	if n == nil {
		return Entry{}, false
	}
	return n.Entry, true
}

// List returns the names in a folder, sorted.
func (t Tree) List(folder string) []string {
	n := t.node(folder)
	if n == nil {
		return nil
	}
	names := make([]string, len(n.Children))
	for i, c := range n.Children {
		names[i] = c.Name
	}
	return names
}

// Read returns the content of a file. The error is fs.ErrNotExist where
// there is none; links, folders and submodules are not read.
func (t Tree) Read(p string) ([]byte, error) {
	n := t.node(p)
	if n == nil {
		return nil, fmt.Errorf("%s: %w", p, fs.ErrNotExist)
	}
	if n.Kind != File {
		return nil, fmt.Errorf("%s: not a regular file", p)
	}
	content, err := t.content(n.Entry)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return content, nil
}

// lfsPointer is how a file begins that stands for one kept in Git LFS.
const lfsPointer = "version https://git-lfs.github.com/spec/v1\n"

// content reads a file. What only points to a content elsewhere is refused:
// rendered, it would pass for the content.
func (t Tree) content(e Entry) ([]byte, error) {
	content, err := t.read(e)
	if err == nil && bytes.HasPrefix(content, []byte(lfsPointer)) {
		return nil, errLFS
	}
	return content, err
}

var errLFS = &NoContent{"the file is kept in Git LFS, which is not read; commit the file itself"}

// All walks every entry, the root first, each folder followed by what is in
// it, names in order.
func (t Tree) All() iter.Seq2[string, Entry] {
	return func(yield func(string, Entry) bool) {
		if t.root != nil {
			walk(".", t.root, yield)
		}
	}
}

func walk(p string, n *Node, yield func(string, Entry) bool) bool {
	if !yield(p, n.Entry) {
		return false
	}
	for _, c := range n.Children {
		if !walk(path.Join(p, c.Name), c, yield) {
			return false
		}
	}
	return true
}
