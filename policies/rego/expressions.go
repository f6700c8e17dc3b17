package rego

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// What functions with regular expressions make.

// instructionsMost bounds a compiled expression: OPA keeps a hundred of them.
const instructionsMost = 50_000

// pattern is for functions whose operand at is a regular expression.
func pattern(at int) estimate {
	return func(operands []*ast.Term) amount {
		p := text(operands[at])
		size := len(p)
		if strings.Contains(p, "{") && size <= instructionsMost {
			if parsed, err := syntax.Parse(p, syntax.Perl); err == nil {
				size = instructions(parsed)
			}
		}
		if size > instructionsMost {
			return amount{items: amountMost}
		}
		return amount{}
	}
}

func instructions(r *syntax.Regexp) int {
	n := 1 + len(r.Rune)
	for _, sub := range r.Sub {
		n = plus(n, instructions(sub))
	}
	if r.Op == syntax.OpRepeat {
		n = times(n, max(1, r.Min, r.Max))
	}
	return n
}

// matches are as many as there are places in the text, each with its groups.
func matches(pattern, in int) estimate {
	return func(operands []*ast.Term) amount {
		return amount{items: times(1+len(text(operands[in])), 1+strings.Count(text(operands[pattern]), "("))}
	}
}

func regexReplaced(operands []*ast.Term) amount {
	s, by := text(operands[0]), text(operands[2])
	// Each $ may be all that was matched; all matches together are the text.
	most := func(n int) int {
		return plus(times(n, len(by)), times(len(s), 1+strings.Count(by, "$")))
	}
	if a := most(len(s) + 1); a <= textMost {
		return amount{text: a}
	}
	expression, err := regexp.Compile(text(operands[1]))
	if err != nil {
		return amount{}
	}
	enough := textMost/max(1, len(by)) + 1
	return amount{text: most(len(expression.FindAllStringIndex(s, enough)))}
}
