package environments

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits of a document. Aliases count as often as they are used, so a few
// lines cannot stand for millions of values.
const (
	MaxDocumentBytes  = 256 << 10
	maxDocumentValues = 10_000
	maxDocumentDepth  = 32
)

// parse turns YAML into the plain values of JSON and remembers the line of
// each. It returns nil after reporting what makes the document unreadable.
func (d *Document) parse(data []byte) any {
	switch {
	case len(data) > MaxDocumentBytes:
		d.Report("", "is %d bytes; at most %d are read", len(data), MaxDocumentBytes)
		return nil
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		d.Report("", "is not UTF-8 text")
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root, second yaml.Node
	if err := decoder.Decode(&root); err == io.EOF {
		d.Report("", "is empty")
		return nil
	} else if err != nil {
		d.unreadable(data, err)
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		d.problems = append(d.problems, Problem{File: d.file, Line: second.Line, Message: `holds a second document; only one is read, so remove it and its "---"`})
		return nil
	} else if err != io.EOF {
		d.unreadable(data, err)
		return nil
	}
	d.lines, d.written = map[string]int{}, map[string]string{}
	r := &reader{doc: d, left: maxDocumentValues}
	content := r.read("", &root, 0)
	if r.stopped {
		return nil
	}
	if content == nil && len(d.problems) == 0 {
		d.Report("", "is empty")
	}
	return content
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

var conflictMarker = regexp.MustCompile(`(?m)^<<<<<<< `)

func (d *Document) unreadable(data []byte, err error) {
	p := Problem{File: d.file, Message: "is no YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Message = "is no YAML: " + m[2]
	}
	// The two that the parser's words do not explain.
	switch {
	case conflictMarker.Match(data):
		p.Message += "; a merge conflict is left in it"
	case strings.Contains(p.Message, "cannot start any token"):
		p.Message += "; if it is a tab, indent with spaces"
	}
	d.problems = append(d.problems, p)
}

// reader walks YAML nodes within the limits.
type reader struct {
	doc     *Document
	left    int
	stopped bool
}

func (r *reader) read(path string, n *yaml.Node, depth int) any {
	if r.stopped {
		return nil
	}
	if r.left--; r.left < 0 || depth > maxDocumentDepth {
		// Nothing further can be said of such a document, and it may be endless.
		r.stopped = true
		r.doc.problems = append(r.doc.problems, Problem{File: r.doc.file, Line: n.Line,
			Message: fmt.Sprintf("is too large: at most %d values, %d deep, are read, each use of an alias counted", maxDocumentValues, maxDocumentDepth)})
		return nil
	}
	if _, ok := r.doc.lines[path]; !ok {
		r.doc.lines[path] = n.Line
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return r.read(path, n.Content[0], depth)
	case yaml.AliasNode:
		return r.read(path, n.Alias, depth+1)
	}
	if n.Style&yaml.TaggedStyle != 0 {
		r.doc.spoil(path, "has the YAML tag %s; tags are not accepted", quote(n.Tag))
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return r.readMap(path, n, depth)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			list = append(list, r.read(fmt.Sprintf("%s[%d]", path, i), item, depth+1))
		}
		return list
	default:
		return r.readScalar(path, n)
	}
}

func (r *reader) readMap(path string, n *yaml.Node, depth int) any {
	m := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			r.doc.spoil(path, "has a key that is a list or a map; keys are text")
			continue
		}
		at := join(path, key.Value)
		if key.ShortTag() == "!!merge" {
			r.doc.spoil(at, `merge keys are not accepted; write the fields out`)
			continue
		}
		if _, twice := m[key.Value]; twice {
			r.doc.spoil(at, "is written twice, in lines %d and %d; remove one", r.doc.lines[at], key.Line)
			continue
		}
		r.doc.lines[at] = key.Line
		m[key.Value] = r.read(at, value, depth+1)
	}
	return m
}

func (r *reader) readScalar(path string, n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := n.Decode(&v); err != nil {
			r.doc.spoil(path, "%s cannot be read", quote(n.Value))
			return nil
		}
		if f, ok := v.(float64); ok && (math.IsInf(f, 0) || math.IsNaN(f)) {
			r.doc.spoil(path, "%s is no number that can be used", quote(n.Value))
			return nil
		}
		r.doc.written[path] = n.Value
		return v
	default: // text, and dates, which are text here
		return n.Value
	}
}

// join extends a path by a key. Keys are text of strangers.
func join(path, key string) string {
	if !plainKey.MatchString(key) {
		return path + "[" + quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_/-]{1,63}$`)

// quote makes a stranger's text safe and short enough to print.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}
