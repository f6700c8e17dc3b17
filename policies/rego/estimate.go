package rego

import (
	"math/big"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"go.yaml.in/yaml/v3"
)

// estimate is how much a function would make of its operands, at the most.
// Operands of a wrong type count as nothing: the function refuses them.
type estimate func(operands []*ast.Term) amount

// all estimates are held to.
func all(estimates ...estimate) estimate {
	return func(operands []*ast.Term) amount {
		var most amount
		for _, e := range estimates {
			a := e(operands)
			most.text, most.items = max(most.text, a.text), max(most.items, a.items)
		}
		return most
	}
}

// texts are the texts and the items of the operands themselves, times a factor.
func texts(factor int) estimate {
	return func(operands []*ast.Term) amount {
		var a amount
		for _, o := range operands {
			s := text(o)
			a.text = plus(a.text, times(factor, len(s)))
			a.items = plus(a.items, length(o))
		}
		return a
	}
}

// whole is all that is within the operands. A value may hold another many times,
// at no cost until something writes it out.
func whole(operands []*ast.Term) amount {
	var m measure
	for _, o := range operands {
		m.add(o.Value, 0)
	}
	return amount{m.text, m.items}
}

// written is the operands as JSON or YAML, however they are indented.
func written(operands []*ast.Term) amount {
	var m measure
	m.add(operands[0].Value, 0)
	indent := 8 + 4*m.depth
	if len(operands) > 1 {
		if o, ok := operands[1].Value.(ast.Object); ok {
			indent += len(text(o.Get(ast.StringTerm("prefix")))) + times(len(text(o.Get(ast.StringTerm("indent")))), m.depth+1)
		}
	}
	return amount{text: plus(m.text, times(plus(m.items, m.lines), indent)), items: m.items}
}

// measure is the size of a value as if it were written out.
type measure struct{ text, items, lines, depth int }

func (m *measure) full() bool { return m.text > textMost || m.items > itemsMost }

func (m *measure) add(v ast.Value, depth int) {
	if m.items = plus(m.items, 1); m.full() {
		m.text, m.items = amountMost, amountMost // there is more, nobody looks how much
		return
	}
	m.depth = max(m.depth, depth)
	switch v := v.(type) {
	case ast.String:
		for i := range len(v) {
			switch b := v[i]; {
			case b < 0x20 || b >= 0x7f || b == '"' || b == '\\' || b == '<' || b == '>' || b == '&':
				m.text = plus(m.text, 6)
			default:
				m.text = plus(m.text, 1)
			}
			if v[i] == '\n' {
				m.lines++
			}
		}
	case ast.Number:
		m.text = plus(m.text, digits(v))
	case *ast.Array:
		_ = v.Until(func(t *ast.Term) bool { m.add(t.Value, depth+1); return m.full() })
	case ast.Set:
		_ = v.Until(func(t *ast.Term) bool { m.add(t.Value, depth+1); return m.full() })
	case ast.Object:
		_ = v.Until(func(k, t *ast.Term) bool { m.add(k.Value, depth+1); m.add(t.Value, depth+1); return m.full() })
	}
}

func concatenated(operands []*ast.Term) amount {
	a := amount{text: times(len(text(operands[0])), length(operands[1]))}
	each(operands[1], func(t *ast.Term) { a.text = plus(a.text, len(text(t))) })
	return a
}

// unions are all items of the sets, lists or objects in the first operand.
func unions(operands []*ast.Term) amount {
	var a amount
	each(operands[0], func(t *ast.Term) { a.items = plus(a.items, max(1, length(t))) })
	return a
}

func replaced(operands []*ast.Term) amount {
	s, old, by := text(operands[0]), text(operands[1]), text(operands[2])
	return amount{text: plus(len(s), times(occurrences(s, old), len(by)))}
}

// occurrences is how often one text is in another; the empty one is beside every
// byte.
func occurrences(s, of string) int {
	if of == "" {
		return len(s) + 1
	}
	return strings.Count(s, of)
}

// trieNode is what OPA's replacer keeps for each text that it looks for, in items.
const trieNode = 64

func replacedMany(operands []*ast.Term) amount {
	s := text(operands[1])
	a := amount{text: len(s), items: times(trieNode, length(operands[0]))}
	if o, ok := operands[0].Value.(ast.Object); ok && a.items <= itemsMost {
		o.Foreach(func(k, v *ast.Term) { a.text = plus(a.text, times(occurrences(s, text(k)), len(text(v)))) })
	}
	return a
}

func splits(operands []*ast.Term) amount {
	return amount{items: plus(1, occurrences(text(operands[0]), text(operands[1])))}
}

// widthMost is the largest width or precision in a format.
const widthMost = 10_000

func formatted(operands []*ast.Term) amount {
	format := text(operands[0])
	var sum, largest int
	each(operands[1], func(t *ast.Term) {
		var m measure
		m.add(t.Value, 0)
		size := 40 + plus(m.text, times(4, m.items))
		sum, largest = plus(sum, size), max(largest, size)
	})
	a := amount{text: plus(len(format), sum)}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		width, number, again := 0, 0, false
	flags:
		for i++; i < len(format); i++ {
			switch b := format[i]; {
			case b >= '0' && b <= '9':
				if number = number*10 + int(b-'0'); number > widthMost {
					return amount{text: amountMost}
				}
				width = max(width, number)
			case b == '*':
				return amount{text: amountMost} // the width is an argument
			case b == '[':
				again, number = true, 0
			case strings.IndexByte("+-# .]", b) >= 0:
				number = 0
			default:
				break flags
			}
		}
		a.text = plus(a.text, 40+2*width)
		switch {
		case i < len(format) && strings.IndexByte("vsdft%", format[i]) >= 0 && !again:
		case again:
			a.text = plus(a.text, times(10, largest))
		default: // hexadecimal, quoted: longer than the text itself
			a.text = plus(a.text, times(10, sum))
		}
	}
	return a
}

// printed has every combination of the items of its operands.
func printed(operands []*ast.Term) amount {
	var m measure
	combinations := 1
	each(operands[0], func(t *ast.Term) {
		m.add(t.Value, 0)
		if s, ok := t.Value.(ast.Set); ok {
			combinations = times(combinations, max(1, s.Len()))
		}
	})
	return amount{text: times(combinations, plus(m.text, times(4, m.items)))}
}

// digitsMost bounds numbers: each as it is written out, and a product.
const digitsMost = 10_000

// numbers refuses what would be a number of too many digits.
func numbers(operands []*ast.Term) amount {
	sum := 0
	for _, o := range operands {
		if n, ok := o.Value.(ast.Number); ok {
			sum = plus(sum, digits(n))
		}
	}
	if sum > digitsMost {
		return amount{text: amountMost}
	}
	return amount{text: sum, items: length(operands[0])}
}

// products have as many digits as all in the list together.
func products(operands []*ast.Term) amount {
	sum := 0
	each(operands[0], func(t *ast.Term) {
		if n, ok := t.Value.(ast.Number); ok {
			sum = plus(sum, digits(n))
		}
	})
	if sum > digitsMost {
		return amount{text: amountMost}
	}
	return amount{text: sum}
}

// sums have as many digits as the longest in the list.
func sums(operands []*ast.Term) amount {
	longest := 0
	each(operands[0], func(t *ast.Term) {
		if n, ok := t.Value.(ast.Number); ok {
			longest = max(longest, digits(n))
		}
	})
	if longest > digitsMost {
		return amount{text: amountMost}
	}
	return amount{text: longest}
}

// digits is how long a number is without an exponent.
func digits(n ast.Number) int {
	mantissa, exponent, ok := strings.Cut(strings.ToLower(string(n)), "e")
	if !ok {
		return len(mantissa)
	}
	e, ok := new(big.Int).SetString(strings.TrimPrefix(exponent, "+"), 10)
	if !ok || !e.IsInt64() {
		return amountMost
	}
	if i := e.Abs(e); i.Cmp(big.NewInt(amountMost)) < 0 {
		return plus(len(n), int(i.Int64()))
	}
	return amountMost
}

func ranges(operands []*ast.Term) amount {
	if a := numbers(operands); a.text > digitsMost {
		return a
	}
	float := func(i int) float64 {
		n, ok := operands[i].Value.(ast.Number)
		if !ok {
			return 0
		}
		f, _ := new(big.Float).SetString(string(n))
		if f == nil {
			return 0
		}
		v, _ := f.Float64()
		return v
	}
	step := 1.0
	if len(operands) > 2 && float(2) > 1 {
		step = float(2)
	}
	span := (float(1) - float(0)) / step
	if span < 0 {
		span = -span
	}
	if span < itemsMost {
		return amount{items: int(span) + 1}
	}
	return amount{items: amountMost} // also what is no number: Inf - Inf
}

func jsonRead(operands []*ast.Term) amount {
	s := text(operands[0])
	n := 1
	for i := range len(s) {
		if strings.IndexByte(",:[{", s[i]) >= 0 {
			n++
		}
	}
	return amount{text: len(s), items: times(2, n)}
}

// yamlRead counts what is behind each alias, too.
func yamlRead(operands []*ast.Term) amount {
	s := text(operands[0])
	n := 1
	for i := range len(s) {
		if strings.IndexByte(",:[{-?\n", s[i]) >= 0 {
			n++
		}
	}
	a := amount{text: len(s), items: n}
	if a.text <= textMost && a.items <= itemsMost && aliases(s) {
		var document yaml.Node
		if yaml.Unmarshal([]byte(s), &document) != nil {
			return amount{text: amountMost}
		}
		a = expanded(&document, map[*yaml.Node]amount{})
	}
	return a
}

func aliases(s string) bool { return strings.Contains(s, "&") && strings.Contains(s, "*") }

func expanded(n *yaml.Node, known map[*yaml.Node]amount) amount {
	if n == nil {
		return amount{}
	}
	if a, ok := known[n]; ok {
		return a
	}
	known[n] = amount{amountMost, amountMost} // within itself
	a := amount{len(n.Value), 1}
	if n.Kind == yaml.AliasNode {
		a = expanded(n.Alias, known)
	}
	for _, item := range n.Content {
		of := expanded(item, known)
		a.text, a.items = plus(a.text, of.text), plus(a.items, of.items)
	}
	known[n] = a
	return a
}

// pairs are as many as the items of one operand times those of the other.
func pairs(operands []*ast.Term) amount {
	return amount{items: times(max(1, length(operands[0])), max(1, length(operands[1])))}
}

func text(t *ast.Term) string {
	if t == nil {
		return ""
	}
	s, _ := t.Value.(ast.String)
	return string(s)
}

func length(t *ast.Term) int {
	if l, ok := t.Value.(interface{ Len() int }); ok {
		return l.Len()
	}
	return 0
}

func each(t *ast.Term, visit func(*ast.Term)) {
	switch v := t.Value.(type) {
	case *ast.Array:
		v.Foreach(visit)
	case ast.Set:
		v.Foreach(visit)
	}
}
