package environments

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a document.
type Problem struct {
	File string
	Line int    // 1 is the first; 0 where there is none
	Path string // "spec.environments[1].after"; empty for the document as a whole
	// Message says what is there and what is accepted instead. Text of the
	// document is quoted in it, so it is safe to print.
	Message string
}

// String is the problem on a line of its own: "pawl.yaml:12: spec.overlays: …".
func (p Problem) String() string {
	at := p.File
	if p.Line > 0 {
		at = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	if p.Path == "" {
		return at + ": " + p.Message
	}
	return at + ": " + p.Path + ": " + p.Message
}

// Problems is the error of a document that was refused. It holds everything
// that is wrong, not only the first thing.
type Problems struct {
	File string
	List []Problem // by line
}

// shown bounds the text of an error, not what List holds.
const shown = 25

func (p *Problems) Error() string {
	if len(p.List) == 1 {
		return p.List[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d problems", p.File, len(p.List))
	for i, one := range p.List {
		if i == shown {
			fmt.Fprintf(&b, "\n  and %d more", len(p.List)-shown)
			break
		}
		b.WriteString("\n  ")
		if one.Path != "" {
			b.WriteString(one.Path)
			if one.Line > 0 {
				fmt.Fprintf(&b, " (line %d)", one.Line)
			}
			b.WriteString(": ")
		} else if one.Line > 0 {
			fmt.Fprintf(&b, "line %d: ", one.Line)
		}
		b.WriteString(one.Message)
	}
	return b.String()
}

func (p *Problems) sort() {
	slices.SortStableFunc(p.List, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path))
	})
}
