package render

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/pawl-dev/pawl/gitsync"
)

// treeFiles gives a revision's files to one build. It notes every answer in the
// trace and holds the limits of what may be read. Links and submodules are
// refused, never followed: a link may name the agent's own token, and a
// submodule is another repository.
type treeFiles struct {
	tree   gitsync.Tree
	limits Limits
	trace  trace

	bytes int64
	files int
	// broken is an error of reading the tree itself, which may pass by itself.
	broken error
}

func newTreeFiles(tree gitsync.Tree, limits Limits) *treeFiles {
	return &treeFiles{tree: tree, limits: limits, trace: newTrace()}
}

// maxLookups bounds the trace, for builders that ask without end.
const maxLookups = 1_000_000

func (f *treeFiles) Stat(p string) (gitsync.Entry, error) {
	if len(f.trace.kinds) > maxLookups || len(p) > 4096 {
		return gitsync.Entry{}, &Error{Err: errors.New("asks for more paths than an overlay can have")}
	}
	e, ok := f.tree.Lookup(p)
	if !ok {
		// What is "not there" may be there behind a link.
		for up := path.Dir(p); up != "." && up != "/"; up = path.Dir(up) {
			if over, ok := f.tree.Lookup(up); ok && over.Kind != gitsync.Folder {
				f.trace.kind(up, over.Kind)
				if over.Kind != gitsync.File {
					return gitsync.Entry{}, noLinks(up, over.Kind)
				}
			}
		}
	}
	f.trace.kind(p, e.Kind)
	if e.Kind == gitsync.Symlink || e.Kind == gitsync.Submodule {
		return gitsync.Entry{}, noLinks(p, e.Kind)
	}
	return e, nil
}

func noLinks(p string, k gitsync.Kind) error {
	if k == gitsync.Submodule {
		return &Error{File: p, Err: errors.New("is a submodule, which is no part of the revision; copy its files into the repository")}
	}
	return &Error{File: p, Err: errors.New("is a symbolic link, and links are never followed; put the file itself there")}
}

// Read counts every reading: who wants a file twice keeps it.
func (f *treeFiles) Read(p string) ([]byte, gitsync.Entry, error) {
	e, err := f.Stat(p)
	switch {
	case err != nil:
		return nil, gitsync.Entry{}, err
	case e.Kind == 0:
		return nil, gitsync.Entry{}, &fs.PathError{Op: "read", Path: p, Err: fs.ErrNotExist}
	case e.Kind != gitsync.File:
		return nil, gitsync.Entry{}, &fs.PathError{Op: "read", Path: p, Err: errors.New("is a folder")}
	}
	f.trace.content(p, e)
	if f.files++; f.files > f.limits.Files {
		return nil, gitsync.Entry{}, &Error{File: p, Err: &Exceeded{"files", fmt.Sprintf("this overlay reads more than %d files, the limit", f.limits.Files)}}
	}
	if f.bytes += e.Size; f.bytes > f.limits.Bytes {
		return nil, gitsync.Entry{}, &Error{File: p, Err: &Exceeded{"bytes", "the files of this overlay are larger than the limit of " + size(f.limits.Bytes)}}
	}
	content, err := f.tree.Read(p)
	var none *gitsync.NoContent
	switch {
	case errors.As(err, &none):
		return nil, gitsync.Entry{}, &Error{File: p, Err: none}
	case err != nil:
		f.broken = fmt.Errorf("reading %s from the revision: %w", p, err)
		return nil, gitsync.Entry{}, f.broken
	}
	return content, e, nil
}

func (f *treeFiles) List(p string) ([]string, error) {
	e, err := f.Stat(p)
	if err != nil {
		return nil, err
	}
	if e.Kind != gitsync.Folder {
		return nil, &fs.PathError{Op: "list", Path: p, Err: fs.ErrNotExist}
	}
	f.trace.content(p, e)
	return f.tree.List(p), nil
}
