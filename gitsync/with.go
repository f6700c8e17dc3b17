package gitsync

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
)

// With is the tree with the contents of some of its files replaced, as a commit
// that changes them would have it. The files must be there: With neither adds
// nor removes.
func (t Tree) With(files map[string][]byte) (Tree, error) {
	contents := map[string][]byte{}
	root := t.root
	for p, content := range files {
		sum := sha256.Sum256(content)
		// No git hash looks like this, so that a replaced file is never taken for
		// another one.
		e := Entry{Kind: File, Hash: "with:" + hex.EncodeToString(sum[:]), Size: int64(len(content))}
		var err error
		if root, err = replaced(root, strings.Split(path.Clean(p), "/"), e); err != nil {
			return Tree{}, fmt.Errorf("replace %s: %w", p, err)
		}
		contents[e.Hash] = content
	}
	return Tree{root: root, read: func(e Entry) ([]byte, error) {
		if content, ok := contents[e.Hash]; ok {
			return slices.Clone(content), nil
		}
		return t.read(e)
	}}, nil
}

// replaced copies the nodes on the way to a file; all others are shared.
func replaced(n *Node, steps []string, e Entry) (*Node, error) {
	if n == nil {
		return nil, fmt.Errorf("there is no such file")
	}
	c := *n
	if len(steps) == 0 {
		if n.Kind != File {
			return nil, fmt.Errorf("it is no file")
		}
		c.Entry = e
		return &c, nil
	}
	i, ok := slices.BinarySearchFunc(n.Children, steps[0], func(c *Node, name string) int { return cmp.Compare(c.Name, name) })
	if !ok {
		return nil, fmt.Errorf("there is no such file")
	}
	child, err := replaced(n.Children[i], steps[1:], e)
	if err != nil {
		return nil, err
	}
	c.Children = slices.Clone(n.Children)
	c.Children[i] = child
	c.Hash += "+" + child.Hash
	return &c, nil
}
