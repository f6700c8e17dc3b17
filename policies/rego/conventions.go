package rego

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/open-policy-agent/opa/v1/ast"
)

// rule is a rule whose messages are looked at.
type rule struct {
	name string // "deny_privileged"
	ref  ast.Ref
	warn bool
}

// ruleName is conftest's, word for word.
var ruleName = regexp.MustCompile(`^(deny|violation|warn)(_[a-zA-Z0-9]+)*$`)

// rules finds the rules of a policy that hold messages, and refuses what looks
// like one and would never be looked at.
func (s *source) rules() ([]rule, []Problem) {
	var found []rule
	var problems []Problem
	used := s.usedRules()
	eachRule(s.compiler, func(m *ast.Module, r *ast.Rule) {
		head := r.Head.Ref()
		name := head[0].Value.String()
		ref := m.Package.Path.Extend(head[:1])
		switch kind := ruleName.FindStringSubmatch(name); {
		case kind != nil:
			if p := shape(r, name); p != "" {
				problems = append(problems, problemAt(r.Location, "%s", p))
				return
			}
			if !slices.ContainsFunc(found, func(f rule) bool { return f.ref.Equal(ref) }) {
				found = append(found, rule{name, ref, kind[1] == "warn"})
			}
		case name == "exception":
			problems = append(problems, problemAt(r.Location, "exceptions of conftest are not supported: they would take a refusal back without a word; write the condition into the rule itself"))
		case !used[ref.String()]:
			if p := misspelt(name); p != "" {
				problems = append(problems, problemAt(r.Location, "%s", p))
			}
		}
	})
	if len(problems) == 0 && len(found) == 0 {
		problems = append(problems, Problem{Text: "has no rule deny, violation or warn, so it could never say anything; write: deny contains msg if { … }"})
	}
	slices.SortFunc(found, func(a, b rule) int { return cmp.Compare(a.ref.String(), b.ref.String()) })
	return found, problems
}

// shape says what is wrong with how a rule for messages is written.
func shape(r *ast.Rule, name string) string {
	switch {
	case len(r.Head.Args) > 0:
		return fmt.Sprintf("%s is a function, which nobody calls; write: %s contains msg if { … }", name, name)
	case len(r.Head.Ref()) > 1:
		return fmt.Sprintf("%s is a map here and holds no messages; write: %s contains msg if { … }", name, name)
	}
	return ""
}

// misspelt says what a rule that nothing uses was probably meant to be.
func misspelt(name string) string {
	word, suffix, _ := strings.Cut(name, "_")
	if strings.HasPrefix(strings.ToLower(word), "allow") {
		return fmt.Sprintf("nothing looks at %s: what is not denied is allowed; write: deny contains msg if { … }", name)
	}
	for _, known := range []string{"deny", "violation", "warn"} {
		if levenshtein.ComputeDistance(strings.ToLower(word), known) <= 2 {
			if suffix != "" {
				known += "_…"
			}
			return fmt.Sprintf("nothing looks at %s; did you mean %s?", name, known)
		}
	}
	return ""
}

// usedRules are the rules that others refer to.
func (s *source) usedRules() map[string]bool {
	used := map[string]bool{}
	for _, ref := range s.refs(ast.DefaultRootDocument) {
		prefix := ref.ConstantPrefix()
		for i := range prefix {
			used[prefix[:i+1].String()] = true
		}
	}
	return used
}

func eachRule(c *ast.Compiler, visit func(*ast.Module, *ast.Rule)) {
	for _, m := range c.Modules {
		for _, r := range m.Rules {
			visit(m, r)
		}
	}
}
