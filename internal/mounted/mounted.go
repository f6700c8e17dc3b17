// Package mounted reads files and folders that are mounted into the agent, such
// as ConfigMaps and Secrets: only what has an end, and not too much of it.
package mounted

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pawl-dev/pawl/gitsync"
)

// Bounds of what is read, far above what keys, trust roots and policies need. A
// policy's own bounds are the compiler's.
const (
	maxFileBytes   = 4 << 20
	maxFolderBytes = 16 << 20
	maxFolderFiles = 1000
	maxFolderDepth = 10
)

// Read reads a file that is neither empty nor endless.
func Read(file string) ([]byte, error) {
	f, err := Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, fmt.Errorf("%s is empty", file)
	case len(text) > maxFileBytes:
		return nil, fmt.Errorf("%s is larger than %d MiB", file, maxFileBytes>>20)
	}
	return text, nil
}

// Open opens a file that has an end. A pipe has none, and nobody may ever
// write to it: merely opening it waits for that.
func Open(file string) (*os.File, error) {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", file)
	}
	return os.Open(file)
}

// Files are the files of a folder, by path.
type Files map[string][]byte

// Folder reads the files of a folder.
func Folder(folder string) (Files, error) {
	found, size := Files{}, 0
	err := Walk(folder, func(file, name string, info fs.FileInfo) error {
		switch {
		case info.IsDir():
			return nil
		case name == ".":
			return fmt.Errorf("%s is no folder", folder)
		case info.Mode().IsRegular() && info.Size() == 0:
			found[name] = nil
			return nil
		}
		text, err := Read(file)
		if err != nil {
			return err
		}
		if size += len(text); size > maxFolderBytes {
			return fmt.Errorf("%s is larger than %d MiB", folder, maxFolderBytes>>20)
		}
		found[name] = text
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s has no file in it", folder)
	}
	return found, err
}

// Walk calls see for a folder and everything in it, each with its path
// and its slash-separated name below the folder. Links are followed, because
// the files of a mounted ConfigMap or Secret are links; what they lead to is in
// "..data", and nothing whose name begins with a dot is seen.
func Walk(folder string, see func(file, name string, info fs.FileInfo) error) error {
	seen := 0
	var walk func(file, name string, depth int) error
	walk = func(file, name string, depth int) error {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if seen++; seen > maxFolderFiles {
			return fmt.Errorf("%s has more than %d files", folder, maxFolderFiles)
		}
		if err := see(file, name, info); err != nil || !info.IsDir() {
			return err
		}
		if depth == maxFolderDepth {
			return fmt.Errorf("%s is nested more than %d deep", folder, maxFolderDepth)
		}
		entries, err := os.ReadDir(file)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				continue
			}
			if err := walk(filepath.Join(file, e.Name()), path.Join(name, e.Name()), depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(folder, ".", 0)
}

// FS is the files as a file system.
func (f Files) FS() fs.FS {
	entries := map[string]gitsync.Entry{".": {Kind: gitsync.Folder}}
	for name, text := range f {
		entries[name] = gitsync.Entry{Hash: name, Kind: gitsync.File, Size: int64(len(text))}
		for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
			entries[folder] = gitsync.Entry{Kind: gitsync.Folder}
		}
	}
	return gitsync.NewTree(entries, func(e gitsync.Entry) ([]byte, error) { return f[e.Hash], nil }).FS()
}
