package render

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Place is a line of a file of the revision.
type Place struct {
	File string // relative to the root of the tree
	Line int    // 1 is the first; 0 where it is not known
}

// documentsOf is what the documents of a file declare, lists unpacked.
func documentsOf(docs []*yaml.Node) []Document {
	var all []Document
	for _, doc := range docs {
		if len(doc.Content) > 0 {
			all = appendDocument(all, doc.Content[0])
		}
	}
	return all
}

func appendDocument(all []Document, root *yaml.Node) []Document {
	kind := childOf(root, "kind")
	if kind == nil {
		return all
	}
	if items := childOf(root, "items"); items != nil && items.Kind == yaml.SequenceNode && strings.HasSuffix(kind.Value, "List") {
		for _, item := range items.Content {
			all = appendDocument(all, item)
		}
		return all
	}
	d := Document{Kind: kind.Value, Line: root.Line}
	if metadata := childOf(root, "metadata"); metadata != nil {
		if name := childOf(metadata, "name"); name != nil {
			d.Name = name.Value
		}
	}
	d.Pinned = appendPinned(nil, root)
	return append(all, d)
}

func appendPinned(all []Written, n *yaml.Node) []Written {
	if n.Kind == yaml.ScalarNode && len(n.Value) < 1024 && strings.Contains(n.Value, "sha256:") {
		return append(all, Written{n.Value, n.Line})
	}
	for _, child := range n.Content {
		all = appendPinned(all, child)
	}
	return all
}

// built is what the scan knows, beside the objects.
func (s *scan) built(objects []map[string]any) Built {
	b := Built{Objects: objects, Manifests: slices.Clone(s.manifests), OwnSchema: s.openAPI}
	for _, k := range s.kustomizations {
		at, generated := Kustomization{File: k.file}, Manifest{File: k.file}
		root := &yaml.Node{}
		if docs, _ := parseYAML(s.fs.contents[k.file]); len(docs) > 0 && len(docs[0].Content) > 0 {
			root = docs[0].Content[0]
		}
		for i, image := range k.content.Images {
			entry := ImageEntry{Name: image.Name, NewName: image.NewName, Digest: image.Digest}
			if n := nodeAt(root, "images", fmt.Sprint(i)); n != nil {
				entry.Line = n.Line
				if d := nodeAt(n, "digest"); d != nil {
					entry.DigestLine = d.Line
				}
			}
			at.Images = append(at.Images, entry)
		}
		generator := func(kind, field string, i int, name string) {
			if n := nodeAt(root, field, fmt.Sprint(i)); n != nil {
				generated.Documents = append(generated.Documents, Document{Kind: kind, Name: name, Line: n.Line})
			}
		}
		for i, g := range k.content.ConfigMapGenerator {
			generator("ConfigMap", "configMapGenerator", i, g.Name)
		}
		for i, g := range k.content.SecretGenerator {
			generator("Secret", "secretGenerator", i, g.Name)
		}
		b.Kustomizations = append(b.Kustomizations, at)
		if len(generated.Documents) > 0 {
			b.Manifests = append(b.Manifests, generated)
		}
	}
	return b
}

// declaration is a place that declares or patches an object.
type declaration struct {
	Place
	patch bool
	name  string
}

// places finds where things stand in the files of an overlay.
type places struct {
	built  Built
	byKind map[string][]declaration
	exact  map[[2]string][]declaration // by kind and name
	pinned map[[2]string]Place         // by kind and digest; and by digest alone
}

func (b Built) places() *places {
	p := &places{b, map[string][]declaration{}, map[[2]string][]declaration{}, map[[2]string]Place{}}
	first := func(kind, digest string, at Place) {
		if _, ok := p.pinned[[2]string{kind, digest}]; !ok {
			p.pinned[[2]string{kind, digest}] = at
		}
	}
	for _, m := range b.Manifests {
		for _, d := range m.Documents {
			if d.Name != "" {
				here := declaration{Place{m.File, d.Line}, m.Patch, d.Name}
				p.byKind[d.Kind] = append(p.byKind[d.Kind], here)
				p.exact[[2]string{d.Kind, d.Name}] = append(p.exact[[2]string{d.Kind, d.Name}], here)
			}
			for _, w := range d.Pinned {
				for _, digest := range digests.FindAllString(w.Text, -1) {
					first(d.Kind, digest, Place{m.File, w.Line})
					first("", digest, Place{m.File, w.Line})
				}
			}
		}
	}
	return p
}

var digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// declared finds the documents of a kind and a name, as far as files tell: a
// prefix or suffix may have been added since, so where no document has the
// name, those count that have the longest part of it.
func (p *places) declared(kind, name string) []declaration {
	if all := p.exact[[2]string{kind, name}]; len(all) > 0 {
		return all
	}
	var all []declaration
	longest := 0
	for _, d := range p.byKind[kind] {
		if len(d.name) >= longest && strings.Contains(name, d.name) {
			if len(d.name) > longest {
				all, longest = nil, len(d.name)
			}
			all = append(all, d)
		}
	}
	return all
}

// of is where an object is declared: "Deployment shop-dev/web". Where no file
// is known to, it is the overlay's kustomization, without a line.
func (p *places) of(object string) Place {
	kind, named, _ := strings.Cut(object, " ")
	if _, after, ok := strings.Cut(named, "/"); ok {
		named = after
	}
	for _, d := range p.declared(kind, named) {
		if !d.patch {
			return d.Place
		}
	}
	return Place{File: p.built.file()}
}

// file is the overlay's own kustomization.
func (b Built) file() string {
	if len(b.Kustomizations) == 0 {
		return ""
	}
	return b.Kustomizations[0].File
}

// locate adds the file to an error that names an object alone.
func (p *places) locate(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.File != "" {
		return err
	}
	at := p.of(e.Object)
	e.File, e.Line = at.File, at.Line
	return e
}

// ofDigest is where the digest of an image is written: in the entry of the
// outermost images: that sets it, else in a manifest.
func (p *places) ofDigest(image Image) Place {
	for _, k := range p.built.Kustomizations {
		for _, entry := range k.Images {
			if entry.Digest == image.Digest && strings.HasPrefix(image.Reference, entry.named()) {
				return Place{k.File, max(entry.DigestLine, entry.Line)}
			}
		}
	}
	kind, _, _ := strings.Cut(image.Object, " ")
	if at, ok := p.pinned[[2]string{kind, image.Digest}]; ok {
		return at
	}
	return p.pinned[[2]string{"", image.Digest}]
}

// named is the image that an entry is about, as it is after the entry.
func (e ImageEntry) named() string {
	if e.NewName != "" {
		return e.NewName
	}
	return e.Name
}

// entryFor is the line of the overlay's own entry for an image, or 0.
func (b Built) entryFor(named string) int {
	line := 0
	if len(b.Kustomizations) > 0 {
		for _, entry := range b.Kustomizations[0].Images {
			if entry.named() == named {
				line = entry.Line
			}
		}
	}
	return line
}
