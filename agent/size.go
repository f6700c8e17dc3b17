package agent

import (
	"fmt"
	"regexp"

	"github.com/invopop/jsonschema"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Size is a number of bytes, written as Kubernetes does: "64Mi".
type Size int64

const sizePattern = `^[1-9][0-9]{0,8}(Ki|Mi|Gi)?$`

var sizeText = regexp.MustCompile(sizePattern)

func (s Size) String() string { return resource.NewQuantity(int64(s), resource.BinarySI).String() }

func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s *Size) UnmarshalText(text []byte) error {
	quantity, err := resource.ParseQuantity(string(text))
	if err != nil || !sizeText.Match(text) {
		return fmt.Errorf("%q is no size", text)
	}
	*s = Size(quantity.Value())
	return nil
}

// JSONSchema is read by the schema's writer. Zero is what is left out.
func (Size) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "string", Pattern: sizePattern, Examples: []any{"64Mi"},
		Extras: map[string]any{"patternErrorMessage": "is no size; write it like 512Ki, 64Mi or 1Gi"},
	}
}
