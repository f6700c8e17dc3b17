package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// material is the content of all that a configuration names: what a baseline is
// made of.
type material struct {
	keys     map[string][]byte // by KeyConfig.source
	roots    map[string][]byte // by name
	policies map[string]files  // of folders, by the policy's name
}

// files are the files of a folder, by path.
type files map[string][]byte

func (m material) digest() string {
	hash := sha256.New()
	add := func(kind, name string, content []byte) {
		fmt.Fprintf(hash, "%s %q %d ", kind, name, len(content))
		hash.Write(content)
	}
	for _, name := range slices.Sorted(maps.Keys(m.keys)) {
		add("key", name, m.keys[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.roots)) {
		add("root", name, m.roots[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.policies)) {
		add("policy", name, nil)
		for _, file := range slices.Sorted(maps.Keys(m.policies[name])) {
			add("file", file, m.policies[name][file])
		}
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// problems collects what is wrong, each with its place in the configuration.
type problems []error

func (p *problems) report(at string, err error) {
	if err != nil {
		*p = append(*p, fmt.Errorf("%s: %w", at, err))
	}
}

// below takes over what is wrong with parts that name their own places.
func (p *problems) below(at string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			p.below(at, one)
		}
	} else if err != nil {
		*p = append(*p, fmt.Errorf("%s%w", at, err))
	}
}

func (p problems) err() error { return errors.Join(p...) }

// secretTimeout bounds one look at all Secrets.
const secretTimeout = 10 * time.Second

// gather reads everything.
func (b *Baselines) gather(now time.Time) (material, error) {
	m := material{keys: map[string][]byte{}, roots: map[string][]byte{}, policies: map[string]files{}}
	var wrong problems
	for i, s := range b.config.Sigstore {
		text, err := b.root(s, now)
		wrong.report(fmt.Sprintf("sigstore[%d].trustedRoot", i), err)
		m.roots[s.Name] = text
	}
	ctx, cancel := context.WithTimeout(context.Background(), secretTimeout)
	defer cancel()
	failed := map[string]error{}
	for at, k := range b.config.keys() {
		source := k.source()
		if _, read := m.keys[source]; !read {
			m.keys[source], failed[source] = b.key(ctx, k)
		}
		if err := failed[source]; err != nil {
			wrong.report(at, fmt.Errorf("read public key %q: %w", k.Name, err))
		}
	}
	for i, p := range b.config.Policies {
		if p.Folder != "" {
			var err error
			m.policies[p.Name], err = readFolder(p.Folder)
			wrong.report(fmt.Sprintf("policies[%d].folder", i), err)
		}
	}
	return m, wrong.err()
}

// source is where a key is kept: its file, or its Secret.
func (k KeyConfig) source() string {
	if k.Secret != nil {
		return fmt.Sprintf("Secret %s, %s", k.Secret.Name, k.Secret.Key)
	}
	return k.File
}

func (b *Baselines) key(ctx context.Context, k KeyConfig) ([]byte, error) {
	if k.Secret != nil {
		return b.options.Secret(ctx, *k.Secret)
	}
	return readBounded(k.File)
}

// rootCopy is the last content of a trust root that could be used, and when it
// was last seen.
type rootCopy struct {
	text    []byte
	seen    time.Time
	problem string // why the file is not that now; empty if it is
}

// root reads a trust root, or takes its last good copy. One that cannot be used
// is like one that cannot be read: it may be half written.
func (b *Baselines) root(s SigstoreConfig, now time.Time) ([]byte, error) {
	held, ok := b.roots[s.Name]
	text, err := readBounded(s.TrustedRoot)
	if err == nil && !(ok && string(text) == string(held.text)) && b.options.CheckRoot != nil {
		if err = b.options.CheckRoot(s.root(text)); err != nil {
			err = fmt.Errorf("%s %w", s.TrustedRoot, err)
		}
	}
	log := b.options.Log.With().Str("root", s.Name).Logger()
	switch {
	case err == nil:
		if ok && held.problem != "" {
			log.Info().Msg("the trust root can be read again")
		}
		b.roots[s.Name] = &rootCopy{text: text, seen: now}
		return text, nil
	case !ok:
		return nil, err
	}
	maxAge := time.Duration(s.MaxAge)
	if now.Sub(held.seen) > maxAge {
		return nil, fmt.Errorf("%w; its last good copy is of %s, which is longer ago than maxAge (%s)", err, held.seen.UTC().Format(time.RFC3339), s.MaxAge)
	}
	if held.problem != err.Error() {
		held.problem = err.Error()
		log.Warn().Err(err).Time("until", held.seen.Add(maxAge)).Msg("the trust root cannot be read; its last good copy counts for a while")
	}
	return held.text, nil
}

// root is the trust root with this content.
func (s SigstoreConfig) root(text []byte) policies.Root {
	return policies.Root{
		Name: s.Name, JSON: text,
		TransparencyLog: s.TransparencyLog == Required, Timestamp: s.Timestamp == Required, CertificateLog: s.CertificateLog == Required,
	}
}

// Bounds of what is read, far above what keys, trust roots and policies need. A
// policy's own bounds are the compiler's.
const (
	maxFileBytes   = 4 << 20
	maxFolderBytes = 16 << 20
	maxFolderFiles = 1000
	maxFolderDepth = 10
)

// readBounded reads a file that is neither empty nor endless.
func readBounded(file string) ([]byte, error) {
	f, err := openRegular(file)
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

// openRegular opens a file that has an end. A pipe has none, and nobody may ever
// write to it: merely opening it waits for that.
func openRegular(file string) (*os.File, error) {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", file)
	}
	return os.Open(file)
}

// readFolder reads the files of a folder.
func readFolder(folder string) (files, error) {
	found, size := files{}, 0
	err := walkMounted(folder, func(file, name string, info fs.FileInfo) error {
		switch {
		case info.IsDir():
			return nil
		case name == ".":
			return fmt.Errorf("%s is no folder", folder)
		case info.Mode().IsRegular() && info.Size() == 0:
			found[name] = nil
			return nil
		}
		text, err := readBounded(file)
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

// walkMounted calls see for a folder and everything in it, each with its path
// and its slash-separated name below the folder. Links are followed, because
// the files of a mounted ConfigMap or Secret are links; what they lead to is in
// "..data", and nothing whose name begins with a dot is seen.
func walkMounted(folder string, see func(file, name string, info fs.FileInfo) error) error {
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

// fs is the files as a file system.
func (f files) fs() fs.FS {
	entries := map[string]gitsync.Entry{".": {Kind: gitsync.Folder}}
	for name, text := range f {
		entries[name] = gitsync.Entry{Hash: name, Kind: gitsync.File, Size: int64(len(text))}
		for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
			entries[folder] = gitsync.Entry{Kind: gitsync.Folder}
		}
	}
	return gitsync.NewTree(entries, func(e gitsync.Entry) ([]byte, error) { return f[e.Hash], nil }).FS()
}
