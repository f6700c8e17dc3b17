package policies

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/json"
)

// Bounds of a predicate. The largest that people sign are bills of materials.
const (
	maxPredicate      = 32 << 20
	maxPredicateDepth = 200
)

// decodePredicate reads the content of an attestation strictly: a key that is
// there twice could be read in one way here and in another by whoever signed.
// Names of keys are compared exactly, unlike encoding/json does for structs.
// Whole numbers become int64, other numbers float64.
func decodePredicate(raw []byte) (any, error) {
	switch {
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, errors.New("its predicate is empty")
	case len(raw) > maxPredicate:
		return nil, fmt.Errorf("its predicate is %d bytes large, and at most %d are read", len(raw), maxPredicate)
	case nests(raw) > maxPredicateDepth:
		return nil, fmt.Errorf("its predicate nests deeper than %d levels", maxPredicateDepth)
	}
	var out any
	twice, err := json.UnmarshalStrict(raw, &out, json.DisallowDuplicateFields)
	switch {
	case err != nil:
		return nil, errors.New("its predicate is no JSON")
	case len(twice) > 0:
		return nil, fmt.Errorf("its predicate can be read in two ways: %s", Clip(twice[0].Error(), 200))
	case out == nil:
		return nil, errors.New("its predicate is null")
	}
	return out, nil
}

// nests is how deep brackets nest. What it says of no JSON does not matter.
func nests(raw []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// at is the value under nested keys; nil where there is none.
func at(value any, keys ...string) any {
	for _, key := range keys {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[key]
	}
	return value
}

// textAt is the text under nested keys; empty where there is none.
func textAt(value any, keys ...string) string {
	s, _ := at(value, keys...).(string)
	return s
}

// isWhatItSays tells a predicate that is not of its type, as far as that can be
// seen: signing tools write whatever file they are given. It returns why.
func isWhatItSays(uri string, predicate any) string {
	_, object := predicate.(map[string]any)
	switch {
	case uri == typeSPDX || strings.HasPrefix(uri, typeSPDX+"/"):
		text, _ := predicate.(string) // of "cosign attest --type spdx": tags and values
		switch {
		case strings.HasPrefix(textAt(predicate, "spdxVersion"), "SPDX-"):
		case strings.HasPrefix(textAt(predicate, "@context"), "https://spdx.org/rdf/3."):
		case strings.HasPrefix(text, "SPDXVersion: SPDX-"), strings.Contains(text, "\nSPDXVersion: SPDX-"):
		default:
			return "its predicate is no SPDX document: it has no spdxVersion"
		}
	case uri == typeCycloneDX:
		if textAt(predicate, "bomFormat") != "CycloneDX" {
			return "its predicate is no CycloneDX document: its bomFormat is not \"CycloneDX\""
		}
	case !object:
		return "its predicate is no JSON object"
	}
	return ""
}
