package rego_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/pawl-dev/pawl/policies/rego"
)

// Whatever a rule holds, there is an answer that can be shown, or a problem.
func FuzzMessages(f *testing.F) {
	for _, seed := range []string{
		`{"a"}`, `["a"]`, `set()`, `true`, `"true"`, `{"msg": "a"}`, `{{"msg": "a", "object": {"kind": "Pod", "metadata": {"name": "x"}}}}`,
		`{{"msg": "a", "image": {"pinned": "x"}}}`, `{{"msg": "", "object": null}}`, `[1, null, {}]`, `{"\u0000\ufeff"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		term, err := ast.ParseTerm(text)
		if err != nil {
			return
		}
		said, problem := rego.Messages("deny", term.Value)
		if problem != "" {
			if len(said) > 0 {
				t.Errorf("both %v and %q", said, problem)
			}
			return
		}
		if size, ok := sizeOf(term.Value); !ok || size > 0 && len(said) == 0 {
			t.Errorf("%s gives no message and no problem", text)
		}
		for _, m := range said {
			for _, s := range []string{m.Text, m.Object, m.Image} {
				if !utf8.ValidString(s) || utf8.RuneCountInString(s) > 500 {
					t.Errorf("%q is not to be shown", s)
				}
			}
			if strings.TrimSpace(m.Text) == "" {
				t.Error("a message says nothing")
			}
		}
	})
}

func sizeOf(v ast.Value) (int, bool) {
	switch v := v.(type) {
	case ast.Set:
		return v.Len(), true
	case *ast.Array:
		return v.Len(), true
	}
	return 0, false
}

// Whatever stands in a policy's files, compiling ends without a panic.
func FuzzCompile(f *testing.F) {
	f.Add("package main\ndeny contains \"x\" if input.objects", "a: 1")
	f.Add("package main\nimport data.x\ndeny := x", "{}")
	f.Add("package a.b\ndeny_x contains m if { some o in input.objects; m := o.kind }", "parameters: {a: [1]}")
	f.Fuzz(func(t *testing.T, code, data string) {
		for _, p := range rego.CompileHere(files("a.rego", code, "a.yaml", data)) {
			if p.Text == "" {
				t.Errorf("%q does not say what is wrong", p)
			}
		}
	})
}
