package promote

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"
)

// Change is the digest that a kustomization shall give to a repository.
type Change struct {
	Repository string
	Digest     string // "sha256:…"
	// Name is the repository as the objects write it, for the entry that is
	// added where there is none: kustomize compares text, so "nginx" does not
	// match an entry for "index.docker.io/library/nginx". Repository, as people
	// write it, if empty.
	Name string
}

// Bump sets digests in the images of a kustomization and leaves every other
// byte as it was: comments, order, quotes, indentation, line ends. An entry
// counts by the name that it results in, compared in normal form; its tag goes
// when a digest comes; a repository without an entry gets one. The result is
// read again, and is an error if anything but the digests came out differently.
// file is for messages.
//
// Whether a digest arrives in the objects depends on the rest of the overlay:
// only rendering it tells.
func Bump(kustomization []byte, file string, changes []Change) ([]byte, error) {
	out, err := bump(kustomization, changes)
	if err != nil {
		var at *lineError
		if errors.As(err, &at) {
			return nil, fmt.Errorf("%s:%d: %s", file, at.line, at.problem)
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return out, nil
}

// lineError is a problem at a line of the file.
type lineError struct {
	line    int
	problem string
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.problem) }

func refuse(n *yaml.Node, format string, args ...any) error {
	return &lineError{line: n.Line, problem: fmt.Sprintf(format, args...)}
}

func bump(text []byte, changes []Change) ([]byte, error) {
	changes, err := normal(changes)
	if err != nil {
		return nil, err
	}
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	images, err := imagesOf(root)
	if err != nil {
		return nil, err
	}

	e := newEditor(text)
	var missing []Change
	for _, c := range changes {
		entries, err := matching(images, c.Repository)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			missing = append(missing, c)
		}
		for _, entry := range entries {
			if err := e.setDigest(entry, c.Digest); err != nil {
				return nil, err
			}
		}
	}
	if len(missing) > 0 {
		if err := e.addEntries(root, images, missing); err != nil {
			return nil, err
		}
	}
	out, err := e.apply()
	if err != nil {
		return nil, err
	}
	return out, compare(text, out, changes)
}

// normal brings repositories to normal form and refuses two digests for one.
func normal(changes []Change) ([]Change, error) {
	var out []Change
	for _, c := range changes {
		repository, ok := normalRepository(c.Repository)
		if !ok {
			return nil, fmt.Errorf("%q is no image repository", c.Repository)
		}
		if !validDigest(c.Digest) {
			return nil, fmt.Errorf("%q is no digest for %s; it is written sha256: and 64 hex digits", c.Digest, c.Repository)
		}
		if c.Name == "" {
			c.Name = familiar(repository)
		} else if named, ok := normalRepository(c.Name); !ok || named != repository {
			return nil, fmt.Errorf("%q does not name %s", c.Name, c.Repository)
		}
		c.Repository = repository
		if i := slices.IndexFunc(out, func(o Change) bool { return o.Repository == repository }); i >= 0 {
			if out[i].Digest != c.Digest {
				return nil, fmt.Errorf("%s: two digests, %s and %s, for one overlay", repository, out[i].Digest, c.Digest)
			}
			continue
		}
		out = append(out, c)
	}
	return out, nil
}

// normalRepository is the repository in the form of render.Image.Repository.
func normalRepository(s string) (string, bool) {
	r, err := name.NewRepository(s)
	if err != nil {
		return "", false
	}
	return r.Name(), true
}

// familiar is a repository as people write it.
func familiar(repository string) string {
	if short, ok := strings.CutPrefix(repository, "index.docker.io/library/"); ok {
		return short
	}
	if short, ok := strings.CutPrefix(repository, "index.docker.io/"); ok {
		return short
	}
	return repository
}

func validDigest(d string) bool {
	hex, ok := strings.CutPrefix(d, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// parse reads a kustomization of one document whose root is a mapping.
func parse(text []byte) (*yaml.Node, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8 text")
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		return nil, fmt.Errorf("not a kustomization: %w", err)
	}
	if decoder.Decode(&second) == nil {
		return nil, errors.New("holds several YAML documents; kustomize reads one, so keep one")
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("not a kustomization: the document is no mapping")
	}
	return doc.Content[0], nil
}

// imagesOf returns the images of a kustomization, nil where there are none.
func imagesOf(root *yaml.Node) (*yaml.Node, error) {
	images := valueOf(root, "images")
	if images == nil {
		return nil, nil
	}
	if err := withoutAnchors(images); err != nil {
		return nil, err
	}
	switch {
	case images.Kind == yaml.ScalarNode && images.Tag == "!!null":
		return images, nil
	case images.Kind != yaml.SequenceNode:
		return nil, refuse(images, "images is no list")
	}
	for _, entry := range images.Content {
		if entry.Kind != yaml.MappingNode {
			return nil, refuse(entry, "an entry of images is no mapping")
		}
	}
	return images, nil
}

// withoutAnchors: what is written once and used twice cannot be changed for one
// of its uses.
func withoutAnchors(n *yaml.Node) error {
	if n.Anchor != "" || n.Alias != nil || n.Tag == "!!merge" {
		return refuse(n, "images uses YAML anchors, aliases or merge keys, which cannot be changed one by one; write the entries out")
	}
	for _, child := range n.Content {
		if err := withoutAnchors(child); err != nil {
			return err
		}
	}
	return nil
}

// valueOf returns the value of a key, nil where the mapping does not have it.
func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func textOf(mapping *yaml.Node, key string) string {
	if v := valueOf(mapping, key); v != nil && v.Kind == yaml.ScalarNode && v.Tag != "!!null" {
		return v.Value
	}
	return ""
}

// matching returns the entries that result in a repository. Kustomize applies
// them in order, so an entry that renames the repository away hides those that
// would be added after it.
func matching(images *yaml.Node, repository string) ([]*yaml.Node, error) {
	if images == nil {
		return nil, nil
	}
	var found []*yaml.Node
	for _, entry := range images.Content {
		from, to := textOf(entry, "name"), textOf(entry, "newName")
		result := to
		if result == "" {
			result = from
		}
		if r, ok := normalRepository(result); ok && r == repository {
			found = append(found, entry)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	for _, entry := range images.Content {
		if r, ok := normalRepository(textOf(entry, "name")); ok && r == repository {
			return nil, refuse(entry, "%s is renamed to %s here, so no entry can set its digest", familiar(repository), textOf(entry, "newName"))
		}
	}
	return nil, nil
}

// compare is the last word: apart from the digests, both texts mean the same.
func compare(before, after []byte, changes []Change) error {
	var want, got map[string]any
	if err := yaml.Unmarshal(before, &want); err != nil {
		return fmt.Errorf("not a kustomization: %w", err)
	}
	if err := yaml.Unmarshal(after, &got); err != nil {
		return fmt.Errorf("the digests cannot be set without breaking the file (%w); write the entries of images in block style, one field a line", err)
	}
	images, _ := want["images"].([]any)
	for _, c := range changes {
		var hit bool
		for _, item := range images {
			entry, ok := item.(map[string]any)
			if !ok {
				return errors.New("an entry of images has a field whose name is no text")
			}
			result, _ := entry["newName"].(string)
			if result == "" {
				result, _ = entry["name"].(string)
			}
			if r, ok := normalRepository(result); ok && r == c.Repository {
				delete(entry, "newTag")
				delete(entry, "tagSuffix")
				entry["digest"] = c.Digest
				hit = true
			}
		}
		if !hit {
			images = append(images, map[string]any{"name": c.Name, "digest": c.Digest})
		}
	}
	if len(changes) > 0 {
		want["images"] = images
	}
	if !reflect.DeepEqual(want, got) {
		return errors.New("the digests cannot be set without changing something else; write the entries of images in block style, one field a line")
	}
	return nil
}
