package gitsync

import (
	"bytes"
	"io"
	"io/fs"
	"time"
)

// FS is the tree as a file system. Links and submodules are listed as such,
// with fs.ModeSymlink and fs.ModeIrregular, and cannot be opened.
func (t Tree) FS() fs.FS { return treeFS{t} }

type treeFS struct{ tree Tree }

func (f treeFS) find(op, name string) (*Node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := f.tree.node(name)
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

func (f treeFS) Open(name string) (fs.File, error) {
	n, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	switch n.Kind {
	case Folder:
		return &openFolder{info: info{n}}, nil
	case File:
		content, err := f.tree.content(n.Entry)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return &openFile{info: info{n}, Reader: bytes.NewReader(content)}, nil
	default:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
}

func (f treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := f.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if n.Kind != Folder {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	return list(n.Children), nil
}

func list(nodes []*Node) []fs.DirEntry {
	entries := make([]fs.DirEntry, len(nodes))
	for i, n := range nodes {
		entries[i] = info{n}
	}
	return entries
}

// info describes a node both as fs.FileInfo and as fs.DirEntry.
type info struct{ node *Node }

func (i info) Name() string               { return i.node.Name }
func (i info) Size() int64                { return i.node.Size }
func (i info) IsDir() bool                { return i.node.Kind == Folder }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) Sys() any                   { return nil }
func (info) ModTime() time.Time           { return time.Time{} } // git has none

func (i info) Mode() fs.FileMode {
	switch i.node.Kind {
	case Folder:
		return fs.ModeDir | 0o555
	case Symlink:
		return fs.ModeSymlink | 0o444
	case Submodule:
		return fs.ModeIrregular
	default:
		return 0o444
	}
}

type openFile struct {
	info info
	*bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (*openFile) Close() error                 { return nil }

type openFolder struct {
	info info
	at   int
}

func (f *openFolder) Stat() (fs.FileInfo, error) { return f.info, nil }
func (*openFolder) Close() error                 { return nil }

func (f *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.info.Name(), Err: fs.ErrInvalid}
}

func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	left := list(f.info.node.Children[f.at:])
	if n > 0 {
		if len(left) == 0 {
			return nil, io.EOF
		}
		left = left[:min(n, len(left))]
	}
	f.at += len(left)
	return left, nil
}
