package rego

import (
	"cmp"
	"fmt"
	"time"
)

// Limits bound the evaluation of one policy. A field that is zero is the default.
type Limits struct {
	// Time is how long it may take; 5 s by default.
	Time time.Duration
	// Memory is by how many bytes the memory in use may grow meanwhile; 256 MiB by
	// default.
	Memory uint64
}

func (l Limits) withDefaults() Limits {
	l.Time, l.Memory = cmp.Or(l.Time, 5*time.Second), cmp.Or(l.Memory, 256<<20)
	return l
}

func (l Limits) late() string {
	return fmt.Sprintf("took longer than %s, the limit, and was stopped; let it loop over less, or split it", l.Time)
}

func (l Limits) large() string {
	return fmt.Sprintf("needs more than %d MiB of memory, the limit, and was stopped; let it make smaller texts and lists, or split it", l.Memory>>20)
}

// compileLimit is how long compiling may take. The largest policies that were
// seen take a fifth of a second.
const compileLimit = 20 * time.Second

// grace is how long what was told to stop may take to do so; what cannot be told
// ends with its process then.
const grace = time.Second

// readingMiB is how long it may take to read a MiB of input.
const readingMiB = 100 * time.Millisecond

// standing is what a process may need beside an evaluation: itself, the policies
// that it has compiled, and one input.
const standing = 128 << 20

// memory is that of a process that evaluates within the limits.
func (l Limits) memory() int64 { return standing + int64(l.Memory) }
