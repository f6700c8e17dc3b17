package rego

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	"github.com/invopop/jsonschema"
)

// inputSchema is the shape of the input, by which the compiler finds fields that
// are not there.
var inputSchema = sync.OnceValue(func() any {
	reflector := &jsonschema.Reflector{Anonymous: true, DoNotReference: true, Mapper: func(t reflect.Type) *jsonschema.Schema {
		if t == reflect.TypeFor[map[string]any]() {
			return &jsonschema.Schema{Type: "object", AdditionalProperties: jsonschema.TrueSchema}
		}
		return nil
	}}
	text, err := json.Marshal(reflector.ReflectFromType(reflect.TypeFor[Document]()))
	if err != nil {
		panic(fmt.Sprintf("schema of the input: %v", err)) // any test that compiles finds it
	}
	var schema any
	if err := json.Unmarshal(text, &schema); err != nil {
		panic(fmt.Sprintf("schema of the input: %v", err))
	}
	return schema
})
