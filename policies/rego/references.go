package rego

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// What policies refer to, as far as it can be told without evaluating them.

// Any stands for every key or index in a path of Reads.
const Any = "*"

// Reads reports whether the policy may look at a part of the input, such as
// Reads("change", "commits", Any, "pullRequest") or
// Reads("images", Any, "evidence", "attestations"). Where that cannot be told
// it is true.
func (p *Policy) Reads(path ...string) bool {
	for _, read := range p.reads {
		if meets(read, path) {
			return true
		}
	}
	return false
}

// meets reports whether one of two paths is a prefix of the other.
func meets(read, path []string) bool {
	for i := range min(len(read), len(path)) {
		if read[i] != Any && path[i] != Any && read[i] != path[i] {
			return false
		}
	}
	return true
}

// inputReads are the paths of all references to the input, each once. What is
// computed in one may be anything.
func (s *source) inputReads() [][]string {
	var all [][]string
	for _, ref := range s.refs(ast.InputRootDocument) {
		path := []string{}
		for _, term := range ref[1:] {
			key, ok := term.Value.(ast.String)
			if !ok {
				key = Any
			}
			path = append(path, string(key))
		}
		all = append(all, path)
	}
	slices.SortFunc(all, slices.Compare)
	return slices.CompactFunc(all, slices.Equal)
}

// refs are all references that begin at a root document, or are one. The
// compiler has put what imports stand for into their place.
func (s *source) refs(root *ast.Term) []ast.Ref {
	var all []ast.Ref
	eachRule(s.compiler, func(_ *ast.Module, r *ast.Rule) {
		ast.WalkRefs(r, func(ref ast.Ref) bool {
			if len(ref) > 0 && ref[0].Equal(root) {
				all = append(all, ref)
			}
			return false // there may be others within
		})
	})
	return all
}

// missing finds references to rules and data that are not there. OPA calls them
// undefined and evaluates on: a policy whose library was forgotten would never
// deny anything.
func (s *source) missing() []Problem {
	return s.unresolved(func(path []string) bool { return path[0] != parametersKey },
		"there is no %s: neither a rule nor a data file of the policy defines it")
}

// missingParameters finds parameters that the policy uses and was not given.
func (s *source) missingParameters() []Problem {
	return s.unresolved(func(path []string) bool { return path[0] == parametersKey },
		"the policy needs the parameter %s; give it where the policy is named")
}

func (s *source) unresolved(about func(path []string) bool, text string) []Problem {
	var rules [][]string
	eachRule(s.compiler, func(m *ast.Module, r *ast.Rule) {
		rules = append(rules, constantPath(m.Package.Path.Extend(r.Head.Ref())))
	})
	var problems []Problem
	for _, ref := range s.refs(ast.DefaultRootDocument) {
		path := constantPath(ref)
		if len(path) == 0 || !about(path) || hasData(s.data, path) || anyMeets(rules, path) {
			continue
		}
		problems = append(problems, problemAt(ref[0].Location, text, "data."+strings.Join(path, ".")))
	}
	return problems
}

// constantPath is the part of a reference that is known, without its root.
func constantPath(ref ast.Ref) []string {
	var path []string
	for _, term := range ref[1:] {
		key, ok := term.Value.(ast.String)
		if !ok {
			break
		}
		path = append(path, string(key))
	}
	return path
}

func anyMeets(rules [][]string, path []string) bool {
	for _, r := range rules {
		same := 0
		for same < min(len(r), len(path)) && r[same] == path[same] {
			same++
		}
		if same == min(len(r), len(path)) {
			return true
		}
	}
	return false
}

// hasData reports whether a path leads to something in data; what is within a
// list or a text is not looked at.
func hasData(data map[string]any, path []string) bool {
	for _, key := range path {
		value, ok := data[key]
		if !ok {
			return false
		}
		if data, ok = value.(map[string]any); !ok {
			return true
		}
	}
	return true
}
