package render

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

var errMoreToDecode = errors.New("not plain")

// decode turns what kustomize built into an unstructured object. It walks the
// nodes, which is several times faster than kustomize's own way over text; what
// is not plain (aliases, merges, dates, odd numbers) goes that way.
func decode(built *kyaml.RNode) (map[string]any, error) {
	value, err := plainValue(built.YNode())
	if errors.Is(err, errMoreToDecode) {
		return decodeByText(built)
	}
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("is no object")
	}
	return object, nil
}

func decodeByText(built *kyaml.RNode) (map[string]any, error) {
	text, err := built.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := utiljson.Unmarshal(text, &object); err != nil {
		return nil, err
	}
	return object, nil
}

func plainValue(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 1 {
			return plainValue(n.Content[0])
		}
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str" {
				return nil, errMoreToDecode
			}
			if _, ok := m[k.Value]; ok {
				return nil, fmt.Errorf("the key %q is there twice", k.Value)
			}
			v, err := plainValue(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			m[k.Value] = v
		}
		return m, nil
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, child := range n.Content {
			v, err := plainValue(child)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	case yaml.ScalarNode:
		return plainScalar(n)
	}
	return nil, errMoreToDecode
}

func plainScalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!str":
		return n.Value, nil
	case "!!null":
		if n.Value == "" {
			return nil, errMoreToDecode // by way of text, "{a}" has an empty text in it
		}
		return nil, nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return nil, errMoreToDecode
		}
		return b, nil
	case "!!int":
		var i int64
		if err := n.Decode(&i); err != nil {
			return nil, errMoreToDecode
		}
		return i, nil
	case "!!float":
		// As JSON has it, so that 1.0 becomes what it becomes by way of text.
		var f float64
		if err := n.Decode(&f); err != nil {
			return nil, errMoreToDecode
		}
		text, err := json.Marshal(f)
		if err != nil {
			return nil, errMoreToDecode
		}
		var v any
		if err := utiljson.Unmarshal(text, &v); err != nil {
			return nil, errMoreToDecode
		}
		return v, nil
	}
	return nil, errMoreToDecode
}
