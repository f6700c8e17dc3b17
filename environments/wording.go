package environments

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	checked "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/agnivade/levenshtein"
)

// check reports everything in content that the schema does not accept, and
// returns content without it; nil if nothing is left.
func (s *Schema) check(doc *Document, content any) any {
	err := s.compiled.Validate(content)
	if err == nil {
		return content
	}
	invalid, ok := err.(*checked.ValidationError)
	if !ok {
		doc.spoil("", "cannot be checked: %v", err)
		return nil
	}
	s.report(doc, content, invalid)
	return strip(doc, "", content)
}

// strip takes out the values that were reported as unreadable. Items of lists
// become nil, so that the others keep their places.
func strip(doc *Document, path string, v any) any {
	if doc.spoiled[path] {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if at := join(path, key); doc.spoiled[at] {
				delete(v, key)
			} else {
				v[key] = strip(doc, at, value)
			}
		}
	case []any:
		for i := range v {
			v[i] = strip(doc, fmt.Sprintf("%s[%d]", path, i), v[i])
		}
	}
	return v
}

// report words the errors of the schema library for people. A schema may bring
// words of its own, which editors know too: "patternErrorMessage" for a text
// and "errorMessage" for an object.
func (s *Schema) report(doc *Document, content any, e *checked.ValidationError) {
	path, value := locate(content, e.InstanceLocation)
	part := s.at(e.SchemaURL)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		properties, _ := part["properties"].(map[string]any)
		known := slices.Sorted(maps.Keys(properties))
		slices.Sort(k.Properties)
		for _, name := range k.Properties {
			at := join(path, name)
			if near := DidYouMean(name, known); near != "" {
				doc.spoil(at, "unknown field%s", near)
			} else {
				doc.spoil(at, "unknown field; known here are %s", list(known, "and"))
			}
		}
	case *kind.Required:
		for _, name := range k.Missing {
			doc.spoil(join(path, name), "is missing; write %s", accepted(s.property(part, name)))
		}
	case *kind.Type:
		doc.spoil(path, "%s", doc.wrongType(path, value, part))
	case *kind.Enum:
		var known []string
		for _, w := range k.Want {
			known = append(known, fmt.Sprint(w))
		}
		got := fmt.Sprint(k.Got)
		near := ""
		if len(known) > 1 {
			near = DidYouMean(got, known)
		}
		doc.spoil(path, "%s is not known; write %s%s", doc.show(path, value), list(known, "or"), near)
	case *kind.Pattern:
		words, ok := part["patternErrorMessage"].(string)
		if !ok {
			words = "is not accepted; it must match " + k.Want
		}
		doc.spoil(path, "%s %s", doc.show(path, value), words)
	case *kind.MinLength:
		doc.spoil(path, "is empty; write %s", accepted(part))
	case *kind.MaxLength:
		doc.spoil(path, "%s is %d characters long; at most %d are accepted", doc.show(path, value), k.Got, k.Want)
	case *kind.MinItems:
		doc.Report(path, "has %d entries; write at least %d", k.Got, k.Want)
	case *kind.MaxItems:
		doc.Report(path, "has %d entries; at most %d are accepted", k.Got, k.Want)
	case *kind.Minimum:
		doc.spoil(path, "%s is too small; at least %s is accepted", doc.show(path, value), k.Want.RatString())
	case *kind.Maximum:
		doc.spoil(path, "%s is too large; at most %s is accepted", doc.show(path, value), k.Want.RatString())
	default:
		if words, ok := part["errorMessage"].(string); ok {
			doc.Report(path, "%s", words)
			return
		}
		if len(e.Causes) == 0 {
			doc.spoil(path, "is not accepted")
			return
		}
		for _, cause := range e.Causes {
			s.report(doc, content, cause)
		}
	}
}

// wrongType words a value of the wrong type. Where a map or list is wanted the
// value is not shown: it may be a secret that belongs in a file.
func (d *Document) wrongType(path string, value any, part map[string]any) string {
	if value == nil {
		return "is empty; write " + accepted(part) + " or leave the field out"
	}
	want, _ := part["type"].(string)
	if part["enum"] != nil && isScalar(value) {
		return fmt.Sprintf("%s is not known; write %s", d.show(path, value), accepted(part))
	}
	if words, ok := part["patternErrorMessage"].(string); ok && isScalar(value) {
		pattern, _ := part["pattern"].(string)
		if fits, err := regexp.MatchString(pattern, d.written[path]); err != nil || !fits {
			return d.show(path, value) + " " + words
		}
	}
	if _, ok := value.(string); !ok && isScalar(value) && want == "string" {
		return fmt.Sprintf("%s is %s; write it in quotes, %q", d.written[path], typeWords(value), d.written[path])
	}
	if isScalar(value) && want != "object" && want != "array" {
		return fmt.Sprintf("%s is %s; write %s", d.show(path, value), typeWords(value), accepted(part))
	}
	return fmt.Sprintf("is %s; write %s", typeWords(value), accepted(part))
}

func isScalar(v any) bool {
	switch v.(type) {
	case map[string]any, []any, nil:
		return false
	}
	return true
}

func (d *Document) show(path string, value any) string {
	if text, ok := value.(string); ok {
		return quote(text)
	}
	if w, ok := d.written[path]; ok {
		return w
	}
	return typeWords(value)
}

func typeWords(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case string:
		return "text"
	case bool:
		return "true or false"
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	default:
		return "a number"
	}
}

// accepted says what a part of the schema takes.
func accepted(part map[string]any) string {
	if enum, ok := part["enum"].([]any); ok {
		var known []string
		for _, v := range enum {
			known = append(known, fmt.Sprint(v))
		}
		return list(known, "or")
	}
	if examples, ok := part["examples"].([]any); ok && len(examples) > 0 {
		return fmt.Sprintf("text such as %v", examples[0])
	}
	switch part["type"] {
	case "string":
		return "text"
	case "integer":
		return "a whole number"
	case "number":
		return "a number"
	case "boolean":
		return "true or false"
	case "array":
		return `a list, each entry after a "-"`
	default:
		properties, _ := part["properties"].(map[string]any)
		return "a map with " + list(slices.Sorted(maps.Keys(properties)), "and")
	}
}

// DidYouMean is `; did you mean "staging"?` if something known is close to the
// word, and empty otherwise.
func DidYouMean(word string, known []string) string {
	best, distance := "", 1+min(len(word), 12)/3
	for _, k := range known {
		if max(len(word)-len(k), len(k)-len(word)) > distance {
			continue
		}
		if n := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(k)); n <= distance && k != word {
			best, distance = k, n-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// list joins words as people do: "a, b and c".
func list(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}

// locate finds a value in content and writes its path.
func locate(content any, steps []string) (path string, value any) {
	value = content
	for _, step := range steps {
		switch v := value.(type) {
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return path, nil
			}
			path, value = fmt.Sprintf("%s[%d]", path, i), v[i]
		case map[string]any:
			path, value = join(path, step), v[step]
		default:
			return path, nil
		}
	}
	return path, value
}
