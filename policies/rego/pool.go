package rego

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies"
)

// Pool compiles and evaluates policies in sealed children, for any number of
// goroutines. A child is used for many policies and keeps what it compiled.
type Pool struct {
	children *sealed.Pool
	used     atomic.Bool
	compile  time.Duration // the most that it may take
}

// New makes a pool, for a program whose main knows Worker. It starts no child
// before one is needed.
func New(o sealed.Options) *Pool {
	o.Slow = cmp.Or(o.Slow, 1) // an evaluation that takes long is mostly one that will be stopped
	return &Pool{children: sealed.New(Worker, o), compile: compileLimit}
}

// Warm has a child ready for the next evaluation, if there have been policies.
func (p *Pool) Warm(ctx context.Context) error {
	if !p.used.Load() {
		return nil
	}
	return p.children.Warm(ctx, Limits{}.withDefaults().memory())
}

// Close ends all children, those in the middle of an evaluation as well.
func (p *Pool) Close() error { return p.children.Close() }

// holds is what a child has.
type holds struct {
	policies map[string][][]string // what each reads, by ID
	input    uint64
}

// policiesHeld is how many policies a child takes in before another takes its
// place: configurations change, and no child forgets.
const policiesHeld = 200

func held(c *sealed.Child) *holds {
	if c.Memo == nil {
		c.Memo = &holds{policies: map[string][][]string{}}
	}
	return c.Memo.(*holds)
}

// Compile makes a policy of its files, by their paths in its folder. Files
// whose name ends in _test are for Test and left out here. What is in the
// .rego files is Rego v1. The content of data files is under data, and
// parameters are under data.parameters. What is wrong with the policy is a
// *CompileError.
func (p *Pool) Compile(name string, files map[string][]byte, parameters map[string]any) (*Policy, error) {
	if problems := bounded(files); len(problems) > 0 {
		return nil, wrong(name, problems...)
	}
	order, err := newOrder(name, files, parameters)
	if err != nil {
		return nil, wrong(name, Problem{Text: err.Error()})
	}
	p.used.Store(true)
	policy := &Policy{pool: p, order: order}
	err = p.children.Do(context.Background(), Limits{}.withDefaults().memory(), func(c *sealed.Child) (spent bool, err error) {
		policy.reads, spent, err = p.compileIn(c, order)
		return spent, err
	})
	if err != nil {
		return nil, p.notCompiled(order, err)
	}
	return policy, nil
}

// compileIn has a child compile the policy, unless it has it, and returns what
// it reads.
func (p *Pool) compileIn(c *sealed.Child, o compileOrder) (reads [][]string, spent bool, err error) {
	has := held(c)
	if reads, ok := has.policies[o.ID]; ok {
		return reads, false, nil
	}
	c.Deadline(p.compile)
	if err := c.Send(kindCompile, o, nil); err != nil {
		return nil, true, err
	}
	var a compileAnswer
	if err := receive(c, kindCompiled, &a); err != nil {
		return nil, true, err
	}
	if len(a.Problems) > 0 {
		return nil, false, wrong(o.Name, boundedProblems(a.Problems)...)
	}
	has.policies[o.ID] = a.Reads
	return a.Reads, len(has.policies) >= policiesHeld, nil
}

// notCompiled says why a policy was not compiled, where that did not end as it
// should.
func (p *Pool) notCompiled(o compileOrder, err error) error {
	var ended *sealed.Ended
	if !errors.As(err, &ended) {
		return err
	}
	switch ended.Reason {
	case sealed.Late:
		return wrong(o.Name, Problem{Text: fmt.Sprintf("was not compiled within %s; make it smaller, or split it", p.compile)})
	case sealed.Memory:
		return wrong(o.Name, Problem{Text: fmt.Sprintf("needs more than %d MiB of memory to be compiled; make it smaller, or split it", Limits{}.withDefaults().memory()>>20)})
	default:
		return fmt.Errorf("policy %s: the process that compiled it ended (%s)", o.Name, cmp.Or(ended.Said, string(ended.Reason)))
	}
}

// Evaluate says what the policy has to say of a release. Where there is no
// clear answer, whatever the reason, the result has a Problem, which denies.
func (p *Policy) Evaluate(ctx context.Context, input Input, limits Limits) policies.PolicyResult {
	if input.text == nil {
		return p.problem("there is no input to judge")
	}
	if ctx.Err() != nil {
		return p.problem(context.Cause(ctx).Error())
	}
	limits = limits.withDefaults()
	compiled := false
	var result policies.PolicyResult
	err := p.pool.children.Do(ctx, limits.memory(), func(c *sealed.Child) (bool, error) {
		_, spent, err := p.pool.compileIn(c, p.order)
		if compiled = err == nil; !compiled {
			return spent, err
		}
		result, err = p.evaluateIn(c, input, limits)
		return spent, err
	})
	var ended *sealed.Ended
	switch {
	case err == nil:
		return boundedResult(p.Name(), result)
	case ctx.Err() != nil:
		return p.problem(context.Cause(ctx).Error())
	case !compiled:
		return p.problem(p.pool.notCompiled(p.order, err).Error())
	case !errors.As(err, &ended):
		return p.problem(err.Error())
	}
	return p.problem(stopped(ended, limits))
}

func (p *Policy) problem(text string) policies.PolicyResult {
	return boundedResult(p.Name(), problem(text))
}

// evaluateIn asks a child that has compiled the policy.
func (p *Policy) evaluateIn(c *sealed.Child, input Input, limits Limits) (result policies.PolicyResult, err error) {
	has, text := held(c), []byte(nil)
	if has.input != input.id {
		has.input, text = input.id, input.text
	}
	c.Deadline(limits.Time + grace + time.Duration(len(text)>>20)*readingMiB)
	if err := c.Send(kindEvaluate, evaluateOrder{p.ID(), input.id, limits}, text); err != nil {
		return result, err
	}
	return result, receive(c, kindAnswer, &result)
}

// stopped is why an evaluation ended with its process.
func stopped(ended *sealed.Ended, limits Limits) string {
	switch ended.Reason {
	case sealed.Late:
		return limits.late()
	case sealed.Memory:
		return limits.large()
	default:
		return fmt.Sprintf("the process that evaluated it ended (%s)", cmp.Or(ended.Said, string(ended.Reason)))
	}
}

// Test runs the tests of a policy, the rules named test_…, by OPA's own runner.
// The policy is held to all that Compile holds it to, apart from parameters,
// which tests replace: with data.parameters as {…}. Results are in the order in
// which the tests stand in the files. An error that is a *CompileError says that
// the policy or its tests are wrong.
func (p *Pool) Test(ctx context.Context, name string, files map[string][]byte, limits Limits) ([]TestResult, error) {
	limits = limits.withDefaults()
	var results []TestResult
	err := p.children.Do(ctx, limits.memory(), func(c *sealed.Child) (spent bool, err error) {
		results, err = p.testIn(c, testOrder{name, files, limits})
		return false, err
	})
	var ended *sealed.Ended
	if errors.As(err, &ended) {
		why := stopped(ended, limits)
		if n := len(results); n > 0 {
			why = "one after " + results[n-1].Name + " " + why
		}
		err = wrong(name, Problem{Text: testsStopped(why)})
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(results, func(a, b TestResult) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name))
	})
	return results, nil
}

// testIn has a child run tests. What it has said counts where it ends, too.
func (p *Pool) testIn(c *sealed.Child, o testOrder) (results []TestResult, err error) {
	c.Deadline(2*p.compile + o.Limits.Time)
	if err := c.Send(kindTest, o, nil); err != nil {
		return nil, err
	}
	for {
		m, err := c.Receive(answerLimit)
		if err != nil {
			return results, err
		}
		switch m.Kind {
		case kindTested:
			var r TestResult
			if err := m.Decode(&r); err != nil {
				return results, err
			}
			r.Text, r.Printed = clip(r.Text, textLimit), clip(r.Printed, printedLimit)
			if results = append(results, r); len(results) > maxTests {
				return results, sealed.Broken(fmt.Errorf("it told of more than %d tests", maxTests))
			}
			c.Deadline(o.Limits.Time + grace)
		case kindTestsEnded:
			var a testAnswer
			if err := m.Decode(&a); err != nil {
				return results, err
			}
			if len(a.Problems) > 0 {
				return nil, wrong(o.Name, boundedProblems(a.Problems)...)
			}
			return results, nil
		default:
			return results, sealed.Unexpected(m)
		}
	}
}

// receive is the one answer that a child is to give.
func receive(c *sealed.Child, k sealed.Kind, into any) error {
	m, err := c.Receive(answerLimit)
	switch {
	case err != nil:
		return err
	case m.Kind != k:
		return sealed.Unexpected(m)
	}
	return m.Decode(into)
}
