package promote

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// editor collects changes of a YAML text at the places where its nodes stand.
type editor struct {
	text  []byte
	lines []int // the offset at which each line starts
	edits []edit
}

// edit replaces text[from:to].
type edit struct {
	from, to int
	with     string
}

func newEditor(text []byte) *editor {
	e := &editor{text: text, lines: []int{0}}
	for i := 0; i < len(text); {
		n := lineBreak(text[i:])
		if n == 0 {
			i++
			continue
		}
		i += n
		e.lines = append(e.lines, i)
	}
	return e
}

// lineBreak is the length of the line break at the start of b, as the YAML
// reader counts lines: it takes three Unicode characters for line breaks too.
func lineBreak(b []byte) int {
	switch {
	case b[0] == '\n':
		return 1
	case b[0] == '\r':
		if len(b) > 1 && b[1] == '\n' {
			return 2
		}
		return 1
	}
	for _, s := range []string{"\u0085", "\u2028", "\u2029"} {
		if bytes.HasPrefix(b, []byte(s)) {
			return len(s)
		}
	}
	return 0
}

// apply carries the edits out. Those at one place keep the order in which they
// were made.
func (e *editor) apply() ([]byte, error) {
	slices.SortStableFunc(e.edits, func(a, b edit) int { return cmp.Compare(a.from, b.from) })
	var out bytes.Buffer
	at := 0
	for _, one := range e.edits {
		if one.from < at {
			return nil, &lineError{line: e.lineAt(one.from), problem: "two digests would be written to one place"}
		}
		out.Write(e.text[at:one.from])
		out.WriteString(one.with)
		at = one.to
	}
	out.Write(e.text[at:])
	return out.Bytes(), nil
}

func (e *editor) replace(from, to int, with string) {
	if string(e.text[from:to]) != with {
		e.edits = append(e.edits, edit{from, to, with})
	}
}

func (e *editor) lineAt(offset int) int {
	i, found := slices.BinarySearch(e.lines, offset)
	if found {
		return i + 1
	}
	return i
}

// start is the offset of a node. Columns count characters.
func (e *editor) start(n *yaml.Node) int {
	i := e.lines[n.Line-1]
	for column := 1; column < n.Column && i < len(e.text); column++ {
		_, size := utf8.DecodeRune(e.text[i:])
		i += size
	}
	return i
}

// lineEnd is the offset of the line break that ends the line of an offset, or
// of the end of the text.
func (e *editor) lineEnd(offset int) int {
	for offset < len(e.text) && lineBreak(e.text[offset:]) == 0 {
		offset++
	}
	return offset
}

// afterLine is the offset of the next line.
func (e *editor) afterLine(offset int) int {
	end := e.lineEnd(offset)
	if end < len(e.text) {
		end += lineBreak(e.text[end:])
	}
	return end
}

// newline is the line end that the file uses.
func (e *editor) newline() string {
	if i := bytes.IndexByte(e.text, '\n'); i > 0 && e.text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// scalar returns where a scalar of one line starts and ends, quotes included.
func (e *editor) scalar(n *yaml.Node) (from, to int, err error) {
	from = e.start(n)
	complicated := refuse(n, "this value is written in a form that cannot be replaced; write it on one line, without a tag")
	if n.Kind != yaml.ScalarNode || n.Style&yaml.TaggedStyle != 0 || from > len(e.text) {
		return 0, 0, complicated
	}
	line := e.text[from:e.lineEnd(from)]
	switch {
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := 1; i < len(line); i++ {
			if line[i] != '\'' {
				continue
			}
			if i+1 < len(line) && line[i+1] == '\'' {
				i++
				continue
			}
			return from, from + i + 1, nil
		}
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := 1; i < len(line); i++ {
			switch line[i] {
			case '\\':
				i++
			case '"':
				return from, from + i + 1, nil
			}
		}
	case n.Style == 0 && bytes.HasPrefix(line, []byte(n.Value)):
		return from, from + len(n.Value), nil
	}
	return 0, 0, complicated
}

// quoted writes s in the quotes of a scalar.
func quoted(like *yaml.Node, s string) string {
	switch {
	case like.Style&yaml.DoubleQuotedStyle != 0:
		return `"` + s + `"`
	case like.Style&yaml.SingleQuotedStyle != 0:
		return "'" + s + "'"
	}
	return s
}

// pair is a key of a mapping with its value.
type pair struct {
	key, value *yaml.Node
	first      bool
	before     *yaml.Node // the value before it
}

func pairsOf(mapping *yaml.Node) []pair {
	var out []pair
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		p := pair{key: mapping.Content[i], value: mapping.Content[i+1], first: i == 0}
		if i > 0 {
			p.before = mapping.Content[i-1]
		}
		out = append(out, p)
	}
	return out
}

// setDigest gives an entry its digest and takes its tag away.
func (e *editor) setDigest(entry *yaml.Node, digest string) error {
	pairs := pairsOf(entry)
	var versions []pair // all that says which version
	kept := -1          // the one of them that becomes the digest
	for _, p := range pairs {
		switch p.key.Value {
		case "digest", "newTag", "tagSuffix":
			versions = append(versions, p)
			if kept < 0 || p.key.Value == "digest" && !versions[kept].first {
				kept = len(versions) - 1
			}
		}
	}
	if len(versions) == 0 {
		return e.addDigest(entry, pairs, digest)
	}
	for i, p := range versions {
		if i != kept {
			if err := e.remove(entry, p); err != nil {
				return err
			}
			continue
		}
		keyFrom, keyTo, err := e.scalar(p.key)
		if err != nil {
			return err
		}
		from, to, err := e.scalar(p.value)
		if err != nil {
			return err
		}
		with := quoted(p.value, digest)
		if from == to { // "digest:" with nothing after it
			from, to, with = keyTo, keyTo, ": "+digest
			if colon := bytes.IndexByte(e.text[keyTo:e.lineEnd(keyTo)], ':'); colon >= 0 {
				from, to, with = keyTo+colon+1, keyTo+colon+1, " "+digest
			}
		}
		e.replace(keyFrom, keyTo, quoted(p.key, "digest"))
		e.replace(from, to, with)
	}
	return nil
}

// addDigest puts a digest behind the last of an entry's fields.
func (e *editor) addDigest(entry *yaml.Node, pairs []pair, digest string) error {
	if len(pairs) == 0 {
		return refuse(entry, "an entry of images is empty")
	}
	last := pairs[len(pairs)-1]
	_, end, err := e.scalar(last.value)
	if err != nil {
		return err
	}
	if entry.Style&yaml.FlowStyle != 0 {
		e.edits = append(e.edits, edit{end, end, ", " + quoted(last.key, "digest") + ": " + quoted(last.value, digest)})
		return nil
	}
	e.insertAfter(end, strings.Repeat(" ", last.key.Column-1)+quoted(last.key, "digest")+": "+quoted(last.value, digest))
	return nil
}

// remove takes a pair out of an entry. A comment behind it stays.
func (e *editor) remove(entry *yaml.Node, p pair) error {
	from := e.start(p.key)
	_, to, err := e.scalar(p.value)
	if err != nil {
		return err
	}
	if p.first {
		return refuse(p.key, "%s cannot be taken out of its place; write it after name", p.key.Value)
	}
	if entry.Style&yaml.FlowStyle != 0 {
		_, before, err := e.scalar(p.before)
		if err != nil {
			return err
		}
		if strings.Trim(string(e.text[before:from]), ", \t\r\n") != "" {
			return refuse(p.key, "there is a comment between the fields of this entry; write it in block style, one field a line")
		}
		e.edits = append(e.edits, edit{before, to, ""})
		return nil
	}
	rest := e.text[to:e.lineEnd(to)]
	if comment := bytes.IndexByte(rest, '#'); comment >= 0 {
		e.edits = append(e.edits, edit{from, to + comment, ""})
		return nil
	}
	e.edits = append(e.edits, edit{e.lines[p.key.Line-1], e.afterLine(to), ""})
	return nil
}

// insertAfter puts lines behind the line of an offset.
func (e *editor) insertAfter(offset int, lines ...string) {
	at, newline := e.afterLine(offset), e.newline()
	with := strings.Join(lines, newline) + newline
	if at == len(e.text) && e.lineEnd(offset) == at { // the last line is not ended
		with = newline + strings.Join(lines, newline)
	}
	e.edits = append(e.edits, edit{at, at, with})
}
