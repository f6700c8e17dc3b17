package render

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/gitsync"
)

// treeFS is the file system that kustomize sees: a revision's files as "/",
// read-only, no disk behind it. It asks for everything once.
type treeFS struct {
	files    Files
	entries  map[string]gitsync.Entry
	contents map[string][]byte
	// refused is the first thing that a build asked for and may not have.
	// kustomize tries a path in several ways and loses the first error, so it is
	// kept here.
	refused error
}

func newTreeFS(files Files) *treeFS {
	return &treeFS{files: files, entries: map[string]gitsync.Entry{}, contents: map[string][]byte{}}
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
	if e, ok := f.entries[p]; ok {
		return e, nil
	}
	e, err := f.files.Stat(p)
	if err != nil {
		return gitsync.Entry{}, f.fail(err)
	}
	f.entries[p] = e
	return e, nil
}

// ReadFile returns a file's content, which is shared: nobody may change it.
func (f *treeFS) ReadFile(name string) ([]byte, error) {
	p := inTree(name)
	if content, ok := f.contents[p]; ok {
		return content, nil
	}
	content, e, err := f.files.Read(p)
	if err != nil {
		return nil, f.fail(err)
	}
	f.contents[p], f.entries[p] = content, e
	return content, nil
}

// fail keeps an error that kustomize must not lose.
func (f *treeFS) fail(err error) error {
	var e *Error
	if f.refused == nil && errors.As(err, &e) {
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
	names, err := f.files.List(inTree(name))
	if err != nil {
		return nil, f.fail(err)
	}
	return names, nil
}

// kustomize does none of these in a build; whatever begins to must be looked at.
func (f *treeFS) Create(string) (filesys.File, error)  { return nil, f.never("creates a file") }
func (f *treeFS) Open(string) (filesys.File, error)    { return nil, f.never("opens a file") }
func (f *treeFS) Mkdir(string) error                   { return f.never("makes a folder") }
func (f *treeFS) MkdirAll(string) error                { return f.never("makes a folder") }
func (f *treeFS) RemoveAll(string) error               { return f.never("removes a folder") }
func (f *treeFS) WriteFile(string, []byte) error       { return f.never("writes a file") }
func (f *treeFS) Glob(string) ([]string, error)        { return nil, f.never("looks for files") }
func (f *treeFS) Walk(string, filepath.WalkFunc) error { return f.never("walks over files") }

func (f *treeFS) never(does string) error {
	return f.fail(&Error{Err: errors.New("kustomize " + does + " here, and a revision's tree is read-only and read by whole files")})
}

var _ filesys.FileSystem = (*treeFS)(nil)
