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
	var p *panicked
	if errors.As(err, &p) {
		return &Error{File: top, Err: errors.New("kustomize cannot digest this overlay and panicked: " + plain(p.value, s.secrets()))}
	}
	var undecoded *Error
	if errors.As(err, &undecoded) {
		undecoded.Err = errors.New(plain(undecoded.Err.Error(), s.secrets()))
		return s.locate(undecoded)
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
		places := s.declared(m[1], m[2])
		if strings.Contains(err.Error(), "already registered id") {
			object := m[1] + " " + m[2]
			if m[3] != "[noNs]" {
				object = m[1] + " " + m[3] + "/" + m[2]
			}
			e := &Error{File: top, Object: object, Err: errors.New("is there twice; keep one")}
			if len(places) > 0 {
				e.File, e.Line = places[0].path, places[0].line
			}
			if len(places) > 1 {
				e.Err = fmt.Errorf("is there twice, also in %s; keep one", place(places[1].path, places[1].line))
			}
			return e
		}
		for _, p := range places {
			if p.patch {
				return &Error{File: p.path, Line: p.line, Err: errors.New(text)}
			}
		}
	}
	return &Error{File: top, Err: errors.New(text)}
}

// objectID is an object as kustomize's messages have it: Deployment.v1.apps/web.shop.
var objectID = regexp.MustCompile(`\b([A-Z]\w*)\.[\w.\[\]-]+/([\w.:-]+)\.([a-z0-9-]+|\[noNs\])`)

// badManifest finds the first manifest that is no object kustomize can take.
func (s *scan) badManifest() error {
	for _, f := range s.yamlFiles {
		if f.patch {
			continue
		}
		docs, _ := parseYAML(s.fs.contents[f.path])
		for _, doc := range docs {
			if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
				continue
			}
			root := doc.Content[0]
			fail := func(field, reason string) error {
				return &Error{File: f.path, Line: root.Line, Field: field, Err: errors.New(reason)}
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

// declaration is where a file declares or patches an object.
type declaration struct {
	path  string
	line  int
	patch bool
}

// declared finds the documents of a kind and a name, as far as files tell: a
// prefix or suffix may have been added since.
func (s *scan) declared(kind, objectName string) []declaration {
	var all []declaration
	for _, f := range s.yamlFiles {
		docs, _ := parseYAML(s.fs.contents[f.path])
		for _, doc := range docs {
			if len(doc.Content) == 0 {
				continue
			}
			k, metadata := childOf(doc.Content[0], "kind"), childOf(doc.Content[0], "metadata")
			if k == nil || metadata == nil || k.Value != kind {
				continue
			}
			if n := childOf(metadata, "name"); n != nil && n.Value != "" && strings.Contains(objectName, n.Value) {
				all = append(all, declaration{f.path, doc.Content[0].Line, f.patch})
			}
		}
	}
	return all
}

// locate adds the file to an error that names an object alone.
func (s *scan) locate(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.File != "" {
		return err
	}
	e.File = s.kustomizations[0].file
	kind, named, _ := strings.Cut(e.Object, " ")
	if _, after, ok := strings.Cut(named, "/"); ok {
		named = after
	}
	for _, d := range s.declared(kind, named) {
		if !d.patch {
			e.File, e.Line = d.path, d.line
			break
		}
	}
	return e
}
