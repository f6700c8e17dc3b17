package rego

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// What watchMemory sees comes too late for a single call of a function, and whose
// process ends does not learn by which. So each function that can make much of
// little is asked before it runs how much that will be, and what all of them
// make in one evaluation is bounded, too.

const (
	textMost  = 8 << 20   // bytes of text that one call may make
	itemsMost = 1_000_000 // values that one call may make
	madeMost  = 256 << 20 // bytes that all calls of one evaluation may make
	itemBytes = 128       // what a value takes beside its text, roughly
)

// amount is how much a call makes, at the most. It stays at amountMost.
type amount struct{ text, items int }

const amountMost = math.MaxInt32

func plus(a, b int) int {
	return min(a+b, amountMost)
}

func times(a, b int) int {
	if a != 0 && b > amountMost/a {
		return amountMost
	}
	return a * b
}

// ledger counts what the evaluations under one context have made. Each has a
// Cancel of its own: the tests of a policy are evaluations under one context.
type ledger struct{ made sync.Map }

type ledgerKey struct{}

func withLedger(ctx context.Context) context.Context {
	return context.WithValue(ctx, ledgerKey{}, &ledger{})
}

// charge reports whether the evaluation may make so much more.
func charge(bctx topdown.BuiltinContext, bytes int) bool {
	if bctx.Context == nil || bctx.Cancel == nil {
		return true
	}
	l, ok := bctx.Context.Value(ledgerKey{}).(*ledger)
	if !ok {
		return true
	}
	made, _ := l.made.LoadOrStore(bctx.Cancel, new(atomic.Int64))
	return made.(*atomic.Int64).Add(int64(bytes)) <= madeMost
}

// OPA looks its own functions up by name before those that a query brings, so
// they are replaced in its table. That is for the whole process and before
// anything can be evaluated, since the table has no lock.
func init() {
	for name, most := range makes {
		if most == nil {
			continue
		}
		ast.BuiltinMap[name].CanSkipBctx = false // the context has the ledger
		topdown.RegisterBuiltinFunc(name, guarded(name, most, topdown.GetBuiltin(name)))
	}
}

func guarded(name string, most estimate, run topdown.BuiltinFunc) topdown.BuiltinFunc {
	return func(bctx topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
		halt := func(format string, args ...any) error {
			return topdown.Halt{Err: &topdown.Error{
				Code: topdown.BuiltinErr, Location: bctx.Location, Message: name + " " + fmt.Sprintf(format, args...),
			}}
		}
		switch a := most(operands); {
		case a.text > textMost:
			return halt("would make more than %d MiB of text, which may fill the memory, and was not called", textMost>>20)
		case a.items > itemsMost:
			return halt("would make more than %d values, which may fill the memory, and was not called", itemsMost)
		}
		return run(bctx, operands, func(result *ast.Term) error {
			if result != nil && !charge(bctx, bytesOf(result.Value)) {
				return halt("was stopped: the functions of this policy made more than %d MiB in one evaluation", madeMost>>20)
			}
			return iter(result)
		})
	}
}

// bytesOf is about what a result takes. What is within its items was made before
// or is bounded by the text that it was read from.
func bytesOf(v ast.Value) int {
	switch v := v.(type) {
	case ast.String:
		return len(v)
	case ast.Number:
		return len(v)
	case interface{ Len() int }:
		return itemBytes * v.Len()
	}
	return 0
}
