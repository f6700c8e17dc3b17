package promote

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v3"
)

// addEntries adds entries to images, which may not be there yet.
func (e *editor) addEntries(root, images *yaml.Node, missing []Change) error {
	switch {
	case images == nil && root.Style&yaml.FlowStyle != 0:
		quote := len(root.Content) > 0 && root.Content[0].Style&yaml.DoubleQuotedStyle != 0
		key := "images"
		if quote {
			key = `"images"`
		}
		return e.closeWith(root, key+": ["+flow(missing, quote)+"]", len(root.Content) == 0)

	case images == nil:
		e.appendBlock(root, missing)
		return nil

	case images.Kind == yaml.ScalarNode && images.Value == "": // "images:" with nothing after it
		key := keyOf(root, images)
		_, end, err := e.scalar(key)
		if err != nil {
			return err
		}
		e.insertAfter(end, block(missing, strings.Repeat(" ", key.Column-1))...)
		return nil

	case images.Kind == yaml.ScalarNode: // "images: null"
		from, to, err := e.scalar(images)
		if err != nil {
			return err
		}
		e.replace(from, to, "["+flow(missing, false)+"]")
		return nil

	case images.Style&yaml.FlowStyle != 0:
		quote := keyOf(root, images).Style&yaml.DoubleQuotedStyle != 0
		return e.closeWith(images, flow(missing, quote), len(images.Content) == 0)
	}

	last := images.Content[len(images.Content)-1]
	end, err := e.endOf(last)
	if err != nil {
		return err
	}
	// The dash, not the first field, says how far the entries are indented.
	e.insertAfter(end, block(missing, strings.Repeat(" ", images.Column-1))...)
	return nil
}

func keyOf(mapping, value *yaml.Node) *yaml.Node {
	for _, p := range pairsOf(mapping) {
		if p.value == value {
			return p.key
		}
	}
	return value
}

// appendBlock adds images at the end of the file.
func (e *editor) appendBlock(root *yaml.Node, missing []Change) {
	indent := strings.Repeat(" ", max(root.Column-1, 0))
	newline := e.newline()
	with := strings.Join(append([]string{indent + "images:"}, block(missing, indent)...), newline)
	end := len(e.text)
	if end > 0 && e.text[end-1] != '\n' {
		with = newline + with
	} else {
		with += newline
	}
	e.edits = append(e.edits, edit{end, end, with})
}

// closeWith puts text before the bracket that closes a flow collection.
func (e *editor) closeWith(n *yaml.Node, text string, empty bool) error {
	end, err := e.endOf(n)
	if err != nil {
		return err
	}
	at := end - 1
	inner := bytes.TrimRight(e.text[:at], " \t\r\n")
	if !empty {
		// Behind the last item, so that a bracket on a line of its own stays there.
		at = len(inner)
		text = ", " + text
		if bytes.HasSuffix(inner, []byte(",")) {
			text = text[1:]
		}
	}
	e.edits = append(e.edits, edit{at, at, text})
	return nil
}

// endOf is the offset behind a node.
func (e *editor) endOf(n *yaml.Node) (int, error) {
	if n.Kind == yaml.ScalarNode {
		_, end, err := e.scalar(n)
		return end, err
	}
	if n.Style&yaml.FlowStyle == 0 {
		if len(n.Content) == 0 {
			return e.start(n), nil
		}
		return e.endOf(n.Content[len(n.Content)-1])
	}
	open := e.start(n)
	if open >= len(e.text) || e.text[open] != '{' && e.text[open] != '[' {
		return 0, refuse(n, "this is written in a form that cannot be added to; write the entries of images in block style, one field a line")
	}
	at := open + 1
	if len(n.Content) > 0 {
		var err error
		if at, err = e.endOf(n.Content[len(n.Content)-1]); err != nil {
			return 0, err
		}
	}
	for at < len(e.text) {
		switch e.text[at] {
		case '}', ']':
			return at + 1, nil
		case '#':
			// What is added would stand in the comment.
			return 0, refuse(n, "there is a comment before the closing bracket; write the entries of images in block style, one field a line")
		case ' ', '\t', '\r', '\n', ',':
			at++
		default:
			return 0, refuse(n, "this is written in a form that cannot be added to; write the entries of images in block style, one field a line")
		}
	}
	return 0, refuse(n, "the closing bracket is missing")
}

// block writes entries as lines.
func block(changes []Change, indent string) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, indent+"- name: "+c.Name, indent+"  digest: "+c.Digest)
	}
	return lines
}

// flow writes entries between brackets.
func flow(changes []Change, quote bool) string {
	q := ""
	if quote {
		q = `"`
	}
	var out []string
	for _, c := range changes {
		out = append(out, "{"+q+"name"+q+": "+q+c.Name+q+", "+q+"digest"+q+": "+q+c.Digest+q+"}")
	}
	return strings.Join(out, ", ")
}
