package rego

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	opa "github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// compiled is a policy that is ready to be evaluated.
type compiled struct {
	rules []rule
	query opa.PreparedEvalQuery
	reads [][]string
}

// compile makes a policy of its files and parameters.
func compile(name string, files map[string][]byte, parameters map[string]any) (c *compiled, problems []Problem) {
	defer func() {
		if r := recover(); r != nil {
			c, problems = nil, []Problem{{Text: fmt.Sprintf("the compiler of Rego failed: %v", r)}}
		}
	}()
	s, problems := load(name, files, parameters, false)
	if len(problems) > 0 {
		return nil, problems
	}
	if problems = append(s.missing(), s.missingParameters()...); len(problems) > 0 {
		return nil, problems
	}
	rules, problems := s.rules()
	if len(problems) > 0 {
		return nil, problems
	}
	query, err := s.prepare(rules)
	if err != nil {
		return nil, []Problem{{Text: err.Error()}}
	}
	return &compiled{rules: rules, query: query, reads: s.inputReads()}, nil
}

// source is a policy's compiled files and its data.
type source struct {
	compiler *ast.Compiler
	store    storage.Store
	data     map[string]any
}

// load parses and compiles the files; those for tests only where asked to.
func load(name string, files map[string][]byte, parameters map[string]any, tests bool) (*source, []Problem) {
	if problems := bounded(files); len(problems) > 0 {
		return nil, problems
	}
	modules, problems := parse(files, tests)
	data, more := documents(files, tests, parameters)
	if problems = append(problems, more...); len(problems) > 0 {
		return nil, problems
	}
	if len(modules) == 0 {
		return nil, []Problem{{Text: fmt.Sprintf("has no .rego file; put one into the folder of policy %s", name)}}
	}
	s := &source{store: inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true)), data: data}
	s.compiler = compiler(tests).WithPathConflictsCheck(func(path []string) (bool, error) { return hasData(data, path), nil })
	if s.compiler.Compile(modules); s.compiler.Failed() {
		return nil, ofCompiler(s.compiler.Errors)
	}
	return s, nil
}

// compiler holds policies to the input's fields, and refuses what is there for
// nothing: an import or a variable that nobody uses is a misspelt one.
func compiler(tests bool) *ast.Compiler {
	there := capabilities()
	if tests {
		there = capabilities(testCase)
	}
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, inputSchema())
	return ast.NewCompiler().WithCapabilities(there).WithStrict(true).WithSchemas(schemas).
		WithDefaultRegoVersion(ast.RegoV1).WithEnablePrintStatements(tests).SetErrorLimit(50)
}

func parse(files map[string][]byte, tests bool) (map[string]*ast.Module, []Problem) {
	modules, problems := map[string]*ast.Module{}, []Problem(nil)
	options := ast.ParserOptions{RegoVersion: ast.RegoV1, Capabilities: capabilities()}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if !isRego(file) || isTest(file) && !tests {
			continue
		}
		module, err := ast.ParseModuleWithOpts(file, string(files[file]), options)
		var errs ast.Errors
		switch {
		case err != nil && strings.Contains(err.Error(), "empty module"):
			problems = append(problems, Problem{File: file, Text: "is empty; write a package and its rules, or remove the file"})
		case errors.As(err, &errs):
			problems = append(problems, ofCompiler(errs)...)
		case err != nil:
			problems = append(problems, Problem{File: file, Text: clip(err.Error(), textLimit)})
		default:
			modules[file] = module
		}
	}
	return modules, problems
}

// prepare makes one query of all rules, so that what they share is computed
// once. A rule that is undefined is an empty list in it.
func (s *source) prepare(rules []rule) (opa.PreparedEvalQuery, error) {
	parts := make([]string, len(rules))
	for i, r := range rules {
		parts[i] = fmt.Sprintf("[v | v := %s]", r.ref)
	}
	return opa.New(
		opa.Query("["+strings.Join(parts, ", ")+"]"),
		opa.Compiler(s.compiler), opa.Store(s.store),
		// An error in a function would make its rule undefined, and nothing denies.
		opa.StrictBuiltinErrors(true),
		opa.GenerateJSON(func(term *ast.Term, _ *opa.EvalContext) (any, error) { return term, nil }),
	).PrepareForEval(context.Background())
}
