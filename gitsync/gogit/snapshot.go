package gogit

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/pawl-dev/pawl/gitsync"
)

// snapshot is all that is held of one revision. It never changes.
type snapshot struct {
	head     plumbing.Hash
	revision gitsync.Revision
	// folders are the nodes in each folder by its hash, shared with the
	// snapshots before and after.
	folders map[string][]*gitsync.Node
	content map[string][]byte // of files and links, by hash
	large   map[string]int64  // sizes of those that are too large to be kept

	// line is how the branch came here from the commit that was held before,
	// nil where that was not seen.
	since plumbing.Hash
	line  *gitsync.Line
}

// build makes the snapshot of head from what was received and what is held.
func (m *Mirror) build(received *objects, head plumbing.Hash, held *snapshot) (*snapshot, error) {
	commit, err := received.commit(head, m.options.Limits)
	if err != nil {
		return nil, err
	}
	about, err := info(commit)
	if err != nil {
		return nil, err
	}
	b := &builder{received: received, limits: m.options.Limits,
		snapshot: &snapshot{head: head, folders: map[string][]*gitsync.Node{}, content: map[string][]byte{}, large: map[string]int64{}}}
	if held != nil {
		b.held = *held
	}
	children, err := b.folder(commit.TreeHash.String(), 0)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", head, err)
	}
	content, most := b.content, m.options.Limits.File
	read := func(e gitsync.Entry) ([]byte, error) {
		data, ok := content[e.Hash]
		switch {
		case !ok && e.Size > most:
			return nil, &gitsync.NoContent{Why: fmt.Sprintf("the file is larger than %s, the limit of one file; move it out of the config repo", size(most))}
		case !ok:
			return nil, fmt.Errorf("object %s: %w", e.Hash, fs.ErrNotExist)
		}
		return slices.Clone(data), nil
	}
	root := &gitsync.Node{Name: ".", Entry: gitsync.Entry{Hash: commit.TreeHash.String(), Kind: gitsync.Folder}, Children: children}
	b.revision = gitsync.Revision{
		Commit: about.Commit, Parents: about.Parents, Author: about.Author, Committed: about.Committed,
		Subject: about.Subject, Words: about.Words, Signature: about.Signature, Tree: gitsync.TreeOf(root, read),
	}
	return b.snapshot, nil
}

type builder struct {
	*snapshot
	received *objects
	held     snapshot
	limits   Limits

	entries int
	bytes   int64
}

// folder returns the nodes of a folder, those of the revision held where it
// did not change.
func (b *builder) folder(hash string, depth int) ([]*gitsync.Node, error) {
	if depth > b.limits.Depth {
		return nil, &tooMuch{fmt.Sprintf("%d folders inside of one another", b.limits.Depth)}
	}
	fresh := false // others may be read by somebody at this moment
	children, ok := b.folders[hash]
	if !ok {
		if children, ok = b.held.folders[hash]; !ok {
			var err error
			if children, err = b.decode(hash); err != nil {
				return nil, err
			}
			fresh = true
		}
		b.folders[hash] = children
	}
	// Walked even if seen before: the limits count every place where it stands.
	for _, n := range children {
		if b.entries++; b.entries > b.limits.Entries {
			return nil, &tooMuch{fmt.Sprintf("%d files and folders", b.limits.Entries)}
		}
		switch n.Kind {
		case gitsync.Folder:
			below, err := b.folder(n.Hash, depth+1)
			if err != nil {
				return nil, err
			}
			if fresh {
				n.Children = below
			}
		case gitsync.File, gitsync.Symlink:
			size, err := b.file(n.Hash)
			if err != nil {
				return nil, err
			}
			if fresh {
				n.Size = size
			}
		}
	}
	return children, nil
}

// file makes sure that the content of a file or link is held, and returns its size.
func (b *builder) file(hash string) (int64, error) {
	data, ok := b.content[hash]
	if !ok {
		if large, known := b.held.large[hash]; known {
			b.large[hash] = large
			return large, nil
		}
		if data, ok = b.held.content[hash]; !ok {
			raw := b.received.Blobs[plumbing.NewHash(hash)]
			if raw == nil {
				return 0, fmt.Errorf("file %s was not sent: %w", hash, plumbing.ErrObjectNotFound)
			}
			if raw.Size() > b.limits.File {
				b.large[hash] = raw.Size()
				return raw.Size(), nil
			}
			reader, err := raw.Reader()
			if err != nil {
				return 0, err
			}
			defer reader.Close()
			// In its own size: a buffer with growth to spare would be kept for long.
			data = make([]byte, raw.Size())
			if _, err = io.ReadFull(reader, data); err != nil {
				return 0, err
			}
		}
		b.content[hash] = data
		if b.bytes += int64(len(data)); b.bytes > b.limits.Content {
			return 0, tooManyBytes(b.limits.Content, "content")
		}
	}
	return int64(len(data)), nil
}

// decode reads a folder's object. The sender is not trusted: names that could
// be taken for a path, and doubled ones, are refused.
func (b *builder) decode(hash string) ([]*gitsync.Node, error) {
	raw := b.received.Trees[plumbing.NewHash(hash)]
	if raw == nil {
		return nil, fmt.Errorf("folder %s was not sent: %w", hash, plumbing.ErrObjectNotFound)
	}
	var tree object.Tree
	if err := tree.Decode(raw); err != nil {
		return nil, fmt.Errorf("folder %s: %w", hash, err)
	}
	children := make([]*gitsync.Node, 0, len(tree.Entries))
	for _, e := range tree.Entries {
		n := &gitsync.Node{Name: e.Name, Entry: gitsync.Entry{Hash: e.Hash.String()}}
		switch e.Mode {
		case filemode.Dir:
			n.Kind = gitsync.Folder
		case filemode.Regular, filemode.Executable, filemode.Deprecated:
			n.Kind = gitsync.File
		case filemode.Symlink:
			n.Kind = gitsync.Symlink
		case filemode.Submodule:
			n.Kind = gitsync.Submodule
		default:
			return nil, fmt.Errorf("folder %s: %q has the mode %o, which git does not know", hash, e.Name, uint32(e.Mode))
		}
		if e.Name == "" || e.Name == "." || e.Name == ".." || strings.EqualFold(e.Name, ".git") || strings.ContainsAny(e.Name, "/\x00") {
			return nil, fmt.Errorf("folder %s: %q is no name for a file", hash, e.Name)
		}
		children = append(children, n)
	}
	// By name alone; git sorts folders as if they ended in "/".
	slices.SortFunc(children, func(x, y *gitsync.Node) int { return cmp.Compare(x.Name, y.Name) })
	for i := 1; i < len(children); i++ {
		if children[i].Name == children[i-1].Name {
			return nil, fmt.Errorf("folder %s: %q stands in it twice", hash, children[i].Name)
		}
	}
	return children, nil
}
