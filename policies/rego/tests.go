package rego

import (
	"context"
	"errors"
	"fmt"
	"regexp"
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

// runTests runs the tests of a policy, the rules named test_…, by OPA's own
// runner, and tells of each when it has ended. The policy is held to all that it
// would be held to without tests, apart from parameters, which tests replace:
// with data.parameters as {…}.
func runTests(name string, files map[string][]byte, limits Limits, ended func(TestResult) error) (problems []Problem) {
	defer func() {
		if r := recover(); r != nil {
			problems = []Problem{{Text: fmt.Sprintf("the compiler of Rego failed: %v", r)}}
		}
	}()
	s, problems := load(name, files, nil, false)
	if len(problems) == 0 {
		_, problems = s.rules()
		problems = append(problems, s.missing()...)
	}
	if len(problems) > 0 {
		return problems
	}
	if s, problems = load(name, files, nil, true); len(problems) == 0 {
		problems = s.missing()
	}
	if len(problems) > 0 {
		return problems
	}
	modules, _ := parse(files, true) // the runner compiles them with stages of its own
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go watchMemory(ctx, limits, cancel)
	last := &lastFailed{}
	stopped := ""
	err := storage.Txn(ctx, s.store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		results, err := tester.NewRunner().SetCompiler(compiler(true)).SetStore(s.store).SetModules(modules).
			RaiseBuiltinErrors(true).CapturePrintOutput(true).SetCoverageQueryTracer(last).
			SetParallel(1). // the memory is one test's
			SetTimeout(limits.Time).RunTests(ctx, txn)
		if err != nil {
			return err
		}
		for r := range results {
			result := testResult(ctx, r, last)
			if result.Outcome == Errored {
				stopped = result.Name + " "
			}
			if err := ended(result); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	})
	var errs ast.Errors
	switch {
	case errors.As(err, &errs):
		return ofCompiler(errs)
	case err != nil: // the memory
		return []Problem{{Text: testsStopped(stopped + err.Error())}}
	}
	return nil
}

func testsStopped(why string) string { return "its tests were stopped: " + why }

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
