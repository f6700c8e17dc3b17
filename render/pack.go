package render

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Packed are the objects of a release as they are remembered, one a line: as
// they are worked with they take five times the memory.
type Packed []byte

// Pack writes objects to be remembered.
func Pack(objects []*unstructured.Unstructured) (Packed, error) {
	var lines bytes.Buffer
	for _, o := range objects {
		if err := json.NewEncoder(&lines).Encode(o.Object); err != nil {
			return nil, fmt.Errorf("remember %s: %w", objectName(o), err)
		}
	}
	return bytes.Clone(lines.Bytes()), nil // without room to grow
}

// Unpack reads what Pack wrote: the same objects, and nobody else's.
func (p Packed) Unpack() ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for line := range bytes.Lines(p) {
		o := &unstructured.Unstructured{}
		if err := utiljson.Unmarshal(line, &o.Object); err != nil {
			return nil, fmt.Errorf("read an object that was remembered: %w", err)
		}
		objects = append(objects, o)
	}
	return objects, nil
}
