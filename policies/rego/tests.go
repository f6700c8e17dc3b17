package rego

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

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
	outer := ctx
	ctx, cancel := context.WithCancelCause(withLedger(ctx))
	defer cancel(nil)
	go watchMemory(ctx, cmp.Or(limits.Memory, defaultMemory), cancel)
	var results []TestResult
	last := &lastFailed{}
	err := storage.Txn(ctx, s.store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		ended, err := tester.NewRunner().SetCompiler(compiler(true)).SetStore(s.store).SetModules(modules).
			RaiseBuiltinErrors(true).CapturePrintOutput(true).SetCoverageQueryTracer(last).
			SetParallel(1). // the memory is one test's
			SetTimeout(cmp.Or(limits.Time, defaultTime)).RunTests(ctx, txn)
		if err != nil {
			return err
		}
		for r := range ended {
			results = append(results, testResult(ctx, r, last))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	})
	var errs ast.Errors
	switch {
	case errors.As(err, &errs):
		return nil, wrong(name, ofCompiler(errs)...)
	case err != nil && outer.Err() == nil: // the memory
		return nil, wrong(name, Problem{Text: "its tests were stopped: " + stoppedIn(results) + err.Error()})
	case err != nil:
		return nil, fmt.Errorf("test policy %s: %w", name, err)
	}
	slices.SortFunc(results, func(a, b TestResult) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name))
	})
	return results, nil
}

// stoppedIn names the test that was running when all were stopped.
func stoppedIn(results []TestResult) string {
	if n := len(results); n > 0 && results[n-1].Outcome == Errored {
		return results[n-1].Name + " "
	}
	return ""
}

func testResult(ctx context.Context, r *tester.Result, last *lastFailed) TestResult {
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
	case ctx.Err() != nil && r.Error != nil:
		result.Outcome, result.Text = Errored, context.Cause(ctx).Error()
	case topdown.IsCancel(r.Error):
		result.Outcome, result.Text = Errored, "took too long and was stopped"
	case r.Error != nil:
		result.Outcome, result.Text = Errored, firstError(r.Error)
	case r.Fail:
		result.Outcome, result.Text = Failed, whatFailed(r, last)
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
func whatFailed(r *tester.Result, last *lastFailed) string {
	var cases []string
	for name, sub := range r.SubResults.Iter {
		if sub.Fail && len(sub.SubResults) == 0 {
			cases = append(cases, strings.Join(name, "/"))
		}
	}
	if len(cases) > 0 {
		return clip("failed for "+strings.Join(cases, ", "), textLimit)
	}
	if row := last.in(r.Location); row > 0 {
		return fmt.Sprintf("is not true: line %d", row)
	}
	return "is not true"
}

// lastFailed is where the last expression of each test that was not true stands.
// OPA's own tracer keeps every step of a test, which fills the memory.
type lastFailed struct {
	mu   sync.Mutex
	test *ast.Location // that runs
	rows map[place]int
}

type place struct {
	file string
	row  int
}

func (*lastFailed) Enabled() bool { return true }

func (*lastFailed) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

func (l *lastFailed) TraceEvent(e topdown.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if rule, ok := e.Node.(*ast.Rule); ok && e.Op == topdown.EnterOp && isTestRule(rule) {
		l.test = rule.Location
	}
	if e.Op == topdown.FailOp && e.Location != nil && l.test != nil && e.Location.File == l.test.File {
		if l.rows == nil {
			l.rows = map[place]int{}
		}
		l.rows[place{l.test.File, l.test.Row}] = e.Location.Row
	}
}

func isTestRule(r *ast.Rule) bool {
	return r.Location != nil && strings.HasPrefix(strings.Trim(r.Head.Ref()[0].Value.String(), `"`), tester.TestPrefix)
}

// in is the row for the test at a location, 0 if nothing failed there.
func (l *lastFailed) in(at *ast.Location) int {
	if at == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rows[place{at.File, at.Row}]
}
