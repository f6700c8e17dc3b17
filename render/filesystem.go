package render

import (
	"errors"
	"fmt"
	"io/fs"

	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/gitsync"
)

// treeFS is the file system that kustomize sees: a revision's tree as "/",
// read-only, no disk behind it. It notes every answer in the trace. Links and
// submodules are refused, never followed: a link may name the agent's own
// token, and a submodule is another repository.
type treeFS struct {
	tree  gitsync.Tree
	trace trace
	limit int64

	// contents are the files read so far, size their bytes.
	contents map[string][]byte
	size     int64
	// refused is the first link or submodule that was asked for. kustomize tries
	// a path in several ways and loses the first error, so it is kept here.
	refused error
	// broken is an error of reading the tree itself, which may pass by itself.
	broken error
}

func newTreeFS(tree gitsync.Tree, limit int64) *treeFS {
	return &treeFS{tree: tree, trace: newTrace(), limit: limit, contents: map[string][]byte{}}
}

// inTree turns kustomize's path, absolute or relative to "/", into the tree's.
func inTree(p string) string {
	p = strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(p)), "/")
	if p == "" {
		return "."
	}
	return p
}

// stat says what stands at a path of the tree; Kind is 0 where nothing does.
func (f *treeFS) stat(p string) (gitsync.Entry, error) {
	e, ok := f.tree.Lookup(p)
	if !ok {
		// What is "not there" may be there behind a link.
		for up := path.Dir(p); up != "." && up != "/"; up = path.Dir(up) {
			if over, ok := f.tree.Lookup(up); ok && over.Kind != gitsync.Folder {
				f.trace.kind(up, over.Kind)
				if over.Kind != gitsync.File {
					return gitsync.Entry{}, f.refuse(up, over.Kind)
				}
			}
		}
	}
	f.trace.kind(p, e.Kind)
	if e.Kind == gitsync.Symlink || e.Kind == gitsync.Submodule {
		return gitsync.Entry{}, f.refuse(p, e.Kind)
	}
	return e, nil
}

func (f *treeFS) refuse(p string, k gitsync.Kind) error {
	err := &Error{File: p, Err: errors.New("is a symbolic link, and links are never followed; put the file itself there")}
	if k == gitsync.Submodule {
		err.Err = errors.New("is a submodule, which is no part of the revision; copy its files into the repository")
	}
	if f.refused == nil {
		f.refused = err
	}
	return err
}

// ReadFile returns a file's content, which is shared: nobody may change it.
func (f *treeFS) ReadFile(name string) ([]byte, error) {
	p := inTree(name)
	if content, ok := f.contents[p]; ok {
		return content, nil
	}
	e, err := f.stat(p)
	switch {
	case err != nil:
		return nil, err
	case e.Kind == 0:
		return nil, &fs.PathError{Op: "read", Path: p, Err: fs.ErrNotExist}
	case e.Kind != gitsync.File:
		return nil, &fs.PathError{Op: "read", Path: p, Err: errors.New("is a folder")}
	}
	f.trace.content(p, e)
	if f.size += e.Size; f.size > f.limit {
		return nil, f.fail(&Error{File: p, Err: fmt.Errorf("the files of this overlay are larger than the limit of %d bytes", f.limit)})
	}
	content, err := f.tree.Read(p)
	if err != nil {
		f.broken = fmt.Errorf("reading %s from the revision: %w", p, err)
		return nil, f.broken
	}
	f.contents[p] = content
	return content, nil
}

// fail keeps an error that kustomize must not lose.
func (f *treeFS) fail(err error) error {
	if f.refused == nil {
		f.refused = err
	}
	return err
}

// CleanedAbs splits a path into a folder that is there and, for files, a name.
func (f *treeFS) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	p := inTree(name)
	e, err := f.stat(p)
	switch {
	case err != nil:
		return "", "", err
	case e.Kind == gitsync.Folder:
		return absolute(p), "", nil
	case e.Kind == gitsync.File:
		return absolute(path.Dir(p)), path.Base(p), nil
	}
	return "", "", &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
}

func absolute(p string) filesys.ConfirmedDir {
	return filesys.ConfirmedDir(path.Join("/", p))
}

// IsDir says whether a folder is there.
func (f *treeFS) IsDir(name string) bool {
	e, err := f.stat(inTree(name))
	return err == nil && e.Kind == gitsync.Folder
}

// Exists says whether a file or folder is there.
func (f *treeFS) Exists(name string) bool {
	e, err := f.stat(inTree(name))
	return err == nil && e.Kind != 0
}

// ReadDir lists a folder.
func (f *treeFS) ReadDir(name string) ([]string, error) {
	p := inTree(name)
	e, err := f.stat(p)
	if err != nil {
		return nil, err
	}
	if e.Kind != gitsync.Folder {
		return nil, &fs.PathError{Op: "list", Path: p, Err: fs.ErrNotExist}
	}
	f.trace.content(p, e)
	return f.tree.List(p), nil
}

// kustomize does none of these in a build; whatever begins to must be looked at.
var errSealed = errors.New("a revision's tree is read-only and opened by whole files")

func (f *treeFS) Create(string) (filesys.File, error)  { return nil, f.fail(errSealed) }
func (f *treeFS) Open(string) (filesys.File, error)    { return nil, f.fail(errSealed) }
func (f *treeFS) Mkdir(string) error                   { return f.fail(errSealed) }
func (f *treeFS) MkdirAll(string) error                { return f.fail(errSealed) }
func (f *treeFS) RemoveAll(string) error               { return f.fail(errSealed) }
func (f *treeFS) WriteFile(string, []byte) error       { return f.fail(errSealed) }
func (f *treeFS) Glob(string) ([]string, error)        { return nil, f.fail(errSealed) }
func (f *treeFS) Walk(string, filepath.WalkFunc) error { return f.fail(errSealed) }

var _ filesys.FileSystem = (*treeFS)(nil)
