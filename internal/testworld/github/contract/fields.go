package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/getkin/kin-openapi/openapi3"
)

// undescribedFields names the fields of value that no part of the schema
// mentions. A schema that does not forbid unknown fields allows them, so plain
// validation never sees a misspelled optional field.
func undescribedFields(schema *openapi3.SchemaRef, value any) []string {
	if schema == nil {
		return nil
	}
	var out []string
	walkFields([]*openapi3.SchemaRef{schema}, value, "", &out)
	return out
}

func walkFields(schemas []*openapi3.SchemaRef, value any, at string, out *[]string) {
	switch value := value.(type) {
	case map[string]any:
		known := map[string][]*openapi3.SchemaRef{}
		open := len(schemas) == 0
		for _, s := range schemas {
			open = properties(s, known) || open
		}
		if open || len(known) == 0 {
			return
		}
		for name, inner := range value {
			if len(known[name]) == 0 {
				*out = append(*out, fmt.Sprintf("%s/%s: the field is not described", at, name))
				continue
			}
			walkFields(known[name], inner, at+"/"+name, out)
		}
	case []any:
		var items []*openapi3.SchemaRef
		for _, s := range schemas {
			items = itemsOf(s, items)
		}
		if len(items) == 0 {
			return
		}
		for i, inner := range value {
			walkFields(items, inner, fmt.Sprintf("%s/%d", at, i), out)
		}
	}
}

// properties collects what the schema and its alternatives name, and reports
// whether one of them takes any field.
func properties(ref *openapi3.SchemaRef, into map[string][]*openapi3.SchemaRef) (open bool) {
	s := ref.Value
	for name, p := range s.Properties {
		into[name] = append(into[name], p)
	}
	if s.AdditionalProperties.Schema != nil || s.AdditionalProperties.Has != nil && *s.AdditionalProperties.Has {
		return true
	}
	parts := alternatives(s)
	if s.Type.Is("object") && len(s.Properties) == 0 && len(parts) == 0 {
		return true
	}
	for _, part := range parts {
		open = properties(part, into) || open
	}
	return open
}

func itemsOf(ref *openapi3.SchemaRef, items []*openapi3.SchemaRef) []*openapi3.SchemaRef {
	if ref.Value.Items != nil {
		items = append(items, ref.Value.Items)
	}
	for _, part := range alternatives(ref.Value) {
		items = itemsOf(part, items)
	}
	return items
}

func alternatives(s *openapi3.Schema) []*openapi3.SchemaRef {
	var parts []*openapi3.SchemaRef
	parts = append(parts, s.AllOf...)
	parts = append(parts, s.OneOf...)
	return append(parts, s.AnyOf...)
}

// decode reads one JSON value and nothing after it.
func decode(body []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	var value any
	if d.Decode(&value) != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	return value, true
}
