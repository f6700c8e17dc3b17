package rego

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/pawl-dev/pawl/environments"
)

// CompileError says why a policy cannot be used. Nothing that it is demanded
// for may run until a person has mended it.
type CompileError struct {
	Policy   string
	Problems []Problem // by file and line
}

// Problem is one thing that is wrong with a policy.
type Problem struct {
	File string // in the policy's folder; empty if it is about the policy as a whole
	Line int    // 1 is the first; 0 where there is none
	Text string
}

// String is the problem on one line: "pods.rego:3: …".
func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Text
	case p.Line == 0:
		return p.File + ": " + p.Text
	default:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
}

// problemsShown bounds an error's text; Problems has all of them.
const problemsShown = 10

func (e *CompileError) Error() string {
	if len(e.Problems) == 1 {
		return fmt.Sprintf("policy %s: %s", e.Policy, e.Problems[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "policy %s: %d problems", e.Policy, len(e.Problems))
	for i, p := range e.Problems {
		if i == problemsShown {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Problems)-i)
			break
		}
		fmt.Fprintf(&b, "\n  %s", p)
	}
	return b.String()
}

func wrong(policy string, problems ...Problem) *CompileError {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return &CompileError{policy, slices.Compact(problems)}
}

func problemAt(at *ast.Location, format string, args ...any) Problem {
	p := Problem{Text: fmt.Sprintf(format, args...)}
	if at != nil {
		p.File, p.Line = at.File, at.Row
	}
	return p
}

var undefinedFunction = regexp.MustCompile(`undefined function ([\w.]+)`)

// ofCompiler puts OPA's errors into our words, without the lines of source that
// it adds to some.
func ofCompiler(errs ast.Errors) []Problem {
	var list []Problem
	for _, e := range errs {
		text, _, _ := strings.Cut(e.Message, "\n")
		if m := undefinedFunction.FindStringSubmatch(text); m != nil {
			if because := whyWithheld(m[1]); because != "" {
				text = fmt.Sprintf("%s is not available: %s", m[1], because)
			}
		}
		if d, ok := e.Details.(*ast.RefErrInvalidDetail); ok {
			text = noSuchField(d)
		}
		list = append(list, problemAt(e.Location, "%s", clip(text, textLimit)))
	}
	return list
}

// noSuchField says which field of the input, or of something else whose type is
// known, is not there.
func noSuchField(d *ast.RefErrInvalidDetail) string {
	text := fmt.Sprintf("there is no %s", d.Ref[:min(d.Pos+1, len(d.Ref))])
	key, ok := d.Ref[min(d.Pos, len(d.Ref)-1)].Value.(ast.String)
	if !ok {
		return text
	}
	var known []string
	for _, value := range d.OneOf {
		if s, ok := value.(ast.String); ok {
			known = append(known, string(s))
		}
	}
	if near := environments.DidYouMean(string(key), known); near != "" {
		return text + near
	}
	if d.Pos == 1 && d.Ref.HasPrefix(ast.InputRootRef) {
		return text + ": the input is the whole release, its objects are input.objects"
	}
	return text
}

// clip bounds text of strangers in characters.
func clip(text string, limit int) string {
	runes := []rune(strings.ToValidUTF8(text, "�"))
	if len(runes) > limit {
		runes = append(runes[:limit-1], '…')
	}
	return string(runes)
}
