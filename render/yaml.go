package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkYAML refuses what kustomize would accept in silence or refuse without
// naming a line: duplicate keys, conflict markers, NUL bytes, text that is not
// YAML, and aliases that unfold into more nodes or deeper nesting than the
// limits. The error has the line and never quotes a value.
func checkYAML(content []byte, limits Limits) ([]*yaml.Node, *Error) {
	if line := conflictMarker(content); line > 0 {
		return nil, &Error{Line: line, Err: errors.New("a merge conflict is not resolved here")}
	}
	if i := bytes.IndexByte(content, 0); i >= 0 && !isUTF16(content) {
		return nil, &Error{Line: 1 + bytes.Count(content[:i], []byte("\n")), Err: errors.New("a NUL byte: the file is damaged or no text")}
	}
	if line := bracketsDeeper(content, limits.Depth); line > 0 {
		return nil, &Error{Line: line, Err: tooDeep(limits)}
	}
	docs, err := parseYAML(content)
	if err != nil {
		return nil, err
	}
	for _, doc := range docs {
		m := measurer{limits: limits, known: map[*yaml.Node]extent{}}
		e := m.of(doc)
		switch {
		case e.nodes < 0:
			return nil, &Error{Line: doc.Line, Err: errors.New("an anchor contains an alias of itself")}
		case e.nodes > limits.Nodes:
			return nil, &Error{Line: doc.Line, Err: &Exceeded{"nodes", fmt.Sprintf("the document has more than %d nodes once its aliases are unfolded, the limit", limits.Nodes)}}
		case e.depth > limits.Depth:
			return nil, &Error{Line: doc.Line, Err: tooDeep(limits)}
		}
		if err := duplicateKey(doc); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

func tooDeep(limits Limits) error {
	return &Exceeded{"depth", fmt.Sprintf("is nested more than %d levels deep, the limit", limits.Depth)}
}

// bracketsDeeper returns the first line in which more brackets are open than a
// document of that depth can have, or 0. The parser takes a time that grows
// with the square of the nesting, so what is far too deep does not get there.
// Brackets in texts and comments count too, hence the wide margin.
func bracketsDeeper(content []byte, depth int) int {
	open := 0
	for i, b := range content {
		switch b {
		case '[', '{':
			if open++; open > 100*depth {
				return 1 + bytes.Count(content[:i], []byte("\n"))
			}
		case ']', '}':
			open = max(open-1, 0)
		}
	}
	return 0
}

// parseYAML parses every document of a file into nodes.
func parseYAML(content []byte) ([]*yaml.Node, *Error) {
	var docs []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, yamlError(err)
		}
		docs = append(docs, &doc)
	}
}

var (
	yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)
	// A password that begins with "*" is an alias for YAML.
	quotedAnchor = regexp.MustCompile(`anchor '.*'( referenced| value contains itself|$)`)
)

// yamlError takes the line out of the parser's message, which leaves it out
// for the first line.
func yamlError(err error) *Error {
	line, text := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if m[1] != "" {
			line, _ = strconv.Atoi(m[1])
		}
	}
	if strings.Contains(text, "cannot start any token") {
		text += " (a tab? YAML is indented by spaces)"
	}
	text = quotedAnchor.ReplaceAllString(text, "anchor '…'$1")
	return &Error{Line: line, Err: fmt.Errorf("is no valid YAML: %s", text)}
}

// conflictMarker finds the first line that git has left of a merge, or 0.
func conflictMarker(content []byte) int {
	line := 0
	for text := range bytes.Lines(content) {
		line++
		if bytes.HasPrefix(text, []byte("<<<<<<< ")) || bytes.HasPrefix(text, []byte(">>>>>>> ")) {
			return line
		}
	}
	return 0
}

func isUTF16(content []byte) bool {
	return bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff"))
}

// extent is how large a node is as if each alias in it were written out.
type extent struct {
	nodes int // more than the limit if it is; -1 for a node in itself
	depth int
}

// measurer finds the extent of documents, in the time of reading them once.
type measurer struct {
	limits Limits
	known  map[*yaml.Node]extent // of anchors; -1 nodes while being counted
}

func (m measurer) of(n *yaml.Node) extent {
	if n.Kind == yaml.AliasNode {
		return m.of(n.Alias)
	}
	if n.Anchor != "" {
		if e, ok := m.known[n]; ok {
			return e
		}
		m.known[n] = extent{nodes: -1}
	}
	total := extent{nodes: 1}
	for _, child := range n.Content {
		e := m.of(child)
		if e.nodes < 0 {
			return e
		}
		total.depth = max(total.depth, e.depth)
		if total.nodes += e.nodes; total.nodes > m.limits.Nodes {
			total.nodes = m.limits.Nodes + 1
			break
		}
	}
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		total.depth++
	}
	if n.Anchor != "" {
		m.known[n] = total
	}
	return total
}

// duplicateKey finds the first mapping that says the same key twice.
func duplicateKey(n *yaml.Node) *Error {
	if n.Kind != yaml.MappingNode {
		for i, child := range n.Content {
			if err := duplicateKey(child); err != nil {
				if n.Kind == yaml.SequenceNode {
					err.Field = under("["+strconv.Itoa(i)+"]", err.Field)
				}
				return err
			}
		}
		return nil
	}
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind == yaml.ScalarNode {
			if first, ok := seen[k.Value]; ok && first.ShortTag() == k.ShortTag() {
				return &Error{Line: k.Line, Field: k.Value, Err: fmt.Errorf("the key %q is there twice, first in line %d", k.Value, first.Line)}
			}
			seen[k.Value] = k
		}
		if err := duplicateKey(n.Content[i+1]); err != nil {
			err.Field = under(k.Value, err.Field)
			return err
		}
	}
	return nil
}

// under puts a field below another: "spec" and "[0].image" make "spec[0].image".
func under(parent, field string) string {
	if field == "" || strings.HasPrefix(field, "[") {
		return parent + field
	}
	return parent + "." + field
}

// lineOf is the line of a field such as "patches[0].path" in a document, or of
// the last part of it that is there. Keys are compared as kustomize does,
// without regard to case.
func lineOf(content []byte, field string) int {
	docs, err := parseYAML(content)
	if err != nil || len(docs) == 0 || len(docs[0].Content) == 0 {
		return 0
	}
	n, line := docs[0].Content[0], 0
	for _, part := range strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		next := childOf(n, part)
		if next == nil {
			break
		}
		n, line = next, next.Line
	}
	return line
}

// nodeAt is the node at the end of some steps below another, or nil.
func nodeAt(n *yaml.Node, steps ...string) *yaml.Node {
	for _, step := range steps {
		if n != nil && n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n == nil {
			return nil
		}
		n = childOf(n, step)
	}
	return n
}

func childOf(n *yaml.Node, part string) *yaml.Node {
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(part); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if strings.EqualFold(n.Content[i].Value, part) {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

// lineOfKey is the line of the first key of a name anywhere in a file, or 0.
func lineOfKey(content []byte, key string) int {
	docs, err := parseYAML(content)
	if err != nil {
		return 0
	}
	var find func(n *yaml.Node) int
	find = func(n *yaml.Node) int {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 && child.Value == key {
				return child.Line
			}
			if line := find(child); line > 0 {
				return line
			}
		}
		return 0
	}
	for _, doc := range docs {
		if line := find(doc); line > 0 {
			return line
		}
	}
	return 0
}
