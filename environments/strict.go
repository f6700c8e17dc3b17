package environments

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Document is a YAML file while it is being checked. Decode checks its shape;
// whoever knows what the values mean reports further problems and asks Err.
type Document struct {
	file     string
	problems []Problem
	// spoiled are the paths whose value was left out because it is wrong.
	spoiled map[string]bool
	lines   map[string]int
	// written is how numbers and truth values stand in the file: 1.10 must not
	// be quoted as 1.1.
	written map[string]string
}

// NewDocument is for values that come from no file, such as those made in a
// test or by a command's flags; problems then have no line.
func NewDocument(name string) *Document { return &Document{file: name} }

// Decode reads a YAML document strictly: one document, no duplicate keys, no
// unknown fields, every value of the shape that the schema asks for, all
// problems at once. What is well formed is in the value even if something else
// is not, so that a caller can go on checking; it must not be used before
// Document.Err has returned nil.
func Decode[T any](file string, data []byte, schema *Schema) (T, *Document) {
	var value T
	doc := NewDocument(file)
	content := doc.parse(data)
	if content == nil {
		return value, doc
	}
	if content = schema.check(doc, content); content == nil {
		return value, doc
	}
	text, err := json.Marshal(content)
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	// Wrong types are only left where a problem was reported already. Anything
	// else means that the schema is laxer than the Go type: fail closed.
	var wrongType *json.UnmarshalTypeError
	if err != nil && !(errors.As(err, &wrongType) && len(doc.problems) > 0) {
		doc.Report("", "cannot be read: %v", err)
	}
	return value, doc
}

// Report adds a problem at a path such as "spec.environments[1].after". It
// says nothing where the value at the path, or around it, could not be read:
// what follows from a problem is none of its own.
func (d *Document) Report(path, format string, args ...any) {
	for at := path; at != ""; at = parent(at) {
		if d.spoiled[at] {
			return
		}
	}
	d.problems = append(d.problems, Problem{File: d.file, Line: d.line(path), Path: path, Message: fmt.Sprintf(format, args...)})
}

// spoil reports a problem that leaves no value at the path.
func (d *Document) spoil(path, format string, args ...any) {
	d.Report(path, format, args...)
	if d.spoiled == nil {
		d.spoiled = map[string]bool{}
	}
	d.spoiled[path] = true
}

// Err is nil or *Problems.
func (d *Document) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	p := &Problems{File: d.file, List: d.problems}
	p.sort()
	return p
}

// line is where the path stands, or where the nearest thing above it does.
func (d *Document) line(path string) int {
	for at := path; at != ""; at = parent(at) {
		if n, ok := d.lines[at]; ok {
			return n
		}
	}
	return d.lines[""]
}

// parent cuts the last step off a path.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }
