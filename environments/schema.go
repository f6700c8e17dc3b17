package environments

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"

	written "github.com/invopop/jsonschema"
	checked "github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema is the shape of a document, written from the Go type that it is read
// into. Editors complete from the very schema that files are checked against.
type Schema struct {
	text     []byte
	content  map[string]any
	compiled *checked.Schema
}

// NewSchema writes the schema of T. The comments of its fields, found in the
// Go sources given, become its descriptions. It panics on a type that it
// cannot describe, which any test that calls it finds.
func NewSchema[T any](id, title string, sources ...string) *Schema {
	reflector := &written.Reflector{ExpandedStruct: true, LookupComment: comments(sources), Namer: nameOf}
	document := reflector.ReflectFromType(reflect.TypeFor[T]())
	document.ID, document.Title = written.ID(id), title
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("schema %s: %v", id, err))
	}
	// The library escapes for HTML, which nobody reads here.
	text = []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(text)))
	s := &Schema{text: append(text, '\n')}
	content, err := checked.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(fmt.Sprintf("schema %s: %v", id, err))
	}
	s.content = content.(map[string]any)
	compiler := checked.NewCompiler()
	if err := compiler.AddResource(id, content); err != nil {
		panic(fmt.Sprintf("schema %s: %v", id, err))
	}
	if s.compiled, err = compiler.Compile(id); err != nil {
		panic(fmt.Sprintf("schema %s: %v", id, err))
	}
	return s
}

// JSON is the schema as text.
func (s *Schema) JSON() []byte { return bytes.Clone(s.text) }

// at finds a part of the schema by its address, "https://…#/$defs/Track".
func (s *Schema) at(address string) map[string]any {
	_, pointer, _ := strings.Cut(address, "#")
	part := s.content
	for _, step := range strings.Split(strings.Trim(pointer, "/"), "/") {
		if step == "" {
			continue
		}
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		next, ok := part[step].(map[string]any)
		if !ok {
			return nil
		}
		part = next
	}
	return part
}

// property is the schema of a field, its reference followed.
func (s *Schema) property(object map[string]any, name string) map[string]any {
	properties, _ := object["properties"].(map[string]any)
	part, _ := properties[name].(map[string]any)
	if ref, ok := part["$ref"].(string); ok {
		return s.at(ref)
	}
	return part
}

// comments finds what the sources say about types and fields.
func comments(sources []string) func(reflect.Type, string) string {
	found := map[string]string{}
	for _, source := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			panic(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			declaration, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			fields, ok := declaration.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range fields.Fields.List {
				text := field.Doc.Text()
				if text == "" {
					text = field.Comment.Text()
				}
				for _, name := range field.Names {
					found[declaration.Name.Name+"."+name.Name] = strings.Join(strings.Fields(text), " ")
				}
			}
			return true
		})
	}
	return func(t reflect.Type, field string) string { return found[nameOf(t)+"."+field] }
}

// nameOf is a type's name without those of its parameters.
func nameOf(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	return name
}
