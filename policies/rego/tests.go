package rego

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Outcome is how a test ended.
type Outcome string

const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Errored Outcome = "error"   // it could not be evaluated
	Skipped Outcome = "skipped" // its name begins with todo_
)

// TestResult is how one test of a policy ended.
type TestResult struct {
	Name    string // "main.test_root_is_denied"
	File    string
	Line    int
	Outcome Outcome
	Text    string // why it did not pass
	Printed string // what the policy and the test printed
}

// Test runs the tests of a policy, the rules named test_…, by OPA's own runner.
// The policy is held to all that Compile holds it to, apart from parameters,
// which tests replace: with data.parameters as {…}. Results are in the order in
// which the tests stand in the files. An error that is a *CompileError says that
// the policy or its tests are wrong.
func Test(ctx context.Context, name string, files map[string][]byte, limits Limits) ([]TestResult, error) {
	s, problems := load(name, files, nil, false)
	if len(problems) == 0 {
		_, problems = s.rules()
		problems = append(problems, s.missing()...)
	}
	if len(problems) > 0 {
		return nil, wrong(name, problems...)
	}
	if s, problems = load(name, files, nil, true); len(problems) == 0 {
		problems = s.missing()
	}
	if len(problems) > 0 {
		return nil, wrong(name, problems...)
	}
	modules, _ := parse(files, true) // the runner compiles them with stages of its own
	var results []TestResult
	err := storage.Txn(ctx, s.store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		ended, err := tester.NewRunner().SetCompiler(compiler(true)).SetStore(s.store).SetModules(modules).
			RaiseBuiltinErrors(true).CapturePrintOutput(true).EnableTracing(true).
			SetTimeout(cmp.Or(limits.Time, defaultTime)).RunTests(ctx, txn)
		if err != nil {
			return err
		}
		for r := range ended {
			results = append(results, testResult(r))
		}
		return ctx.Err()
	})
	var errs ast.Errors
	switch {
	case errors.As(err, &errs):
		return nil, wrong(name, ofCompiler(errs)...)
	case err != nil:
		return nil, fmt.Errorf("test policy %s: %w", name, err)
	}
	slices.SortFunc(results, func(a, b TestResult) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name))
	})
	return results, nil
}

func testResult(r *tester.Result) TestResult {
	result := TestResult{
		Name:    strings.TrimPrefix(r.Package, "data.") + "." + r.Name,
		Outcome: Passed,
		Printed: clip(strings.TrimSpace(string(r.Output)), printedLimit),
	}
	if r.Location != nil {
		result.File, result.Line = r.Location.File, r.Location.Row
	}
	switch {
	case r.Skip:
		result.Outcome = Skipped
	case topdown.IsCancel(r.Error):
		result.Outcome, result.Text = Errored, "took too long and was stopped"
	case r.Error != nil:
		result.Outcome, result.Text = Errored, firstError(r.Error)
	case r.Fail:
		result.Outcome, result.Text = Failed, whatFailed(r)
	}
	return result
}

// severalErrors is how the runner puts several errors of functions into one.
var severalErrors = regexp.MustCompile(`^\[\{\w+ (.*?) (\S+:\d+) `)

func firstError(err error) string {
	if m := severalErrors.FindStringSubmatch(err.Error()); m != nil {
		return clip(m[2]+": "+m[1], textLimit)
	}
	return evaluationError(err)
}

// printedLimit bounds what a test prints, in characters.
const printedLimit = 10_000

// whatFailed is the last expression of the test that was not true, and which of
// its cases failed if it has any.
func whatFailed(r *tester.Result) string {
	var cases []string
	for name, sub := range r.SubResults.Iter {
		if sub.Fail && len(sub.SubResults) == 0 {
			cases = append(cases, strings.Join(name, "/"))
		}
	}
	if len(cases) > 0 {
		return clip("failed for "+strings.Join(cases, ", "), textLimit)
	}
	for _, event := range slices.Backward(r.Trace) {
		if at := event.Location; event.Op == topdown.FailOp && at != nil && r.Location != nil && at.File == r.Location.File {
			return fmt.Sprintf("is not true: line %d", at.Row)
		}
	}
	return "is not true"
}
