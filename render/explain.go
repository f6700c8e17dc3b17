package render

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// explain turns kustomize's failure into one that names file and line, which
// kustomize's message often does not, and that shows no content.
func (s *scan) explain(err error) error {
	top := s.kustomizations[0].file
	var p *Panicked
	if errors.As(err, &p) {
		return &Error{File: top, Err: &Panicked{plain(p.What, s.secrets())}}
	}
	var undecoded *Error
	if errors.As(err, &undecoded) {
		undecoded.Err = errors.New(plain(undecoded.Err.Error(), s.secrets()))
		return s.built(nil).places().locate(undecoded)
	}
	if strings.Contains(err.Error(), "kustomization.yaml is empty") {
		for _, k := range s.kustomizations {
			if k.content.CheckEmpty() != nil {
				if k.file == top {
					return &Empty{File: top, Reason: "says nothing"}
				}
				return &Error{File: k.file, Err: errors.New("says nothing; add resources, or take it out of what names it")}
			}
		}
	}
	if bad := s.badManifest(); bad != nil {
		return bad
	}
	text := plain(err.Error(), s.secrets())
	if m := objectID.FindStringSubmatch(err.Error()); m != nil {
		places := s.built(nil).places().declared(m[1], m[2])
		if strings.Contains(err.Error(), "already registered id") {
			object := m[1] + " " + m[2]
			if m[3] != "[noNs]" {
				object = m[1] + " " + m[3] + "/" + m[2]
			}
			e := &Error{File: top, Object: object, Err: errors.New("is there twice; keep one")}
			if len(places) > 0 {
				e.File, e.Line = places[0].File, places[0].Line
			}
			if len(places) > 1 {
				e.Err = fmt.Errorf("is there twice, also in %s; keep one", place(places[1].File, places[1].Line))
			}
			return e
		}
		for _, p := range places {
			if p.patch {
				return &Error{File: p.File, Line: p.Line, Err: errors.New(text)}
			}
		}
	}
	return &Error{File: top, Err: errors.New(text)}
}

// objectID is an object as kustomize's messages have it: Deployment.v1.apps/web.shop.
var objectID = regexp.MustCompile(`\b([A-Z]\w*)\.[\w.\[\]-]+/([\w.:-]+)\.([a-z0-9-]+|\[noNs\])`)

// badManifest finds the first manifest that is no object kustomize can take.
func (s *scan) badManifest() error {
	for _, f := range s.manifests {
		if f.Patch {
			continue
		}
		docs, _ := parseYAML(s.fs.contents[f.File])
		for _, doc := range docs {
			if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
				continue
			}
			root := doc.Content[0]
			fail := func(field, reason string) error {
				return &Error{File: f.File, Line: root.Line, Field: field, Err: errors.New(reason)}
			}
			if root.Kind != yaml.MappingNode {
				return fail("", "is no Kubernetes object: it has no fields")
			}
			for _, field := range []string{"apiVersion", "kind"} {
				if v := childOf(root, field); v == nil || v.Value == "" {
					return fail(field, "is missing")
				}
			}
			if strings.HasSuffix(childOf(root, "kind").Value, "List") {
				continue
			}
			metadata := childOf(root, "metadata")
			if metadata == nil || metadata.Kind != yaml.MappingNode {
				return fail("metadata", "is missing")
			}
			if childOf(metadata, "generateName") != nil {
				return fail("metadata.generateName", "makes another object at every apply; give the object a name")
			}
			if v := childOf(metadata, "name"); v == nil || v.Value == "" {
				return fail("metadata.name", "is missing")
			}
		}
	}
	return nil
}
