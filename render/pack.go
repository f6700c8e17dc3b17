package render

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// packObjects writes objects to be remembered, one a line.
func packObjects(objects []*unstructured.Unstructured) ([]byte, error) {
	var lines bytes.Buffer
	for _, o := range objects {
		if err := json.NewEncoder(&lines).Encode(o.Object); err != nil {
			return nil, fmt.Errorf("remember %s: %w", objectName(o), err)
		}
	}
	return bytes.Clone(lines.Bytes()), nil // without room to grow
}

// unpackObjects reads what packObjects wrote: the same objects, and nobody else's.
func unpackObjects(packed []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for line := range bytes.Lines(packed) {
		o := &unstructured.Unstructured{}
		if err := utiljson.Unmarshal(line, &o.Object); err != nil {
			return nil, fmt.Errorf("read an object that was remembered: %w", err)
		}
		objects = append(objects, o)
	}
	return objects, nil
}
