package render

import (
	"fmt"
	"time"
)

// Limits bound what one overlay may ask for. A field that is zero has the
// default that stands beside it. Each has an error of its own, *Exceeded, that
// names the limit as the agent's configuration does.
type Limits struct {
	Bytes   int64         // of all files that are read: 64 MiB
	Files   int           // that are read: 10,000
	Nodes   int           // of one YAML document, its aliases unfolded: 1,000,000
	Depth   int           // of the nesting of a YAML document or an object: 250
	Objects int           // that are rendered: 5,000
	Output  int64         // of all rendered objects as JSON, in bytes: 64 MiB
	Time    time.Duration // of one build from its start: 30 s. Held by sealed builds alone
	Memory  int64         // that one build needs: 256 MiB. Held by sealed builds alone
}

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	orDefault(&l.Bytes, 64<<20)
	orDefault(&l.Files, 10_000)
	orDefault(&l.Nodes, 1_000_000)
	orDefault(&l.Depth, 250)
	orDefault(&l.Objects, 5_000)
	orDefault(&l.Output, 64<<20)
	orDefault(&l.Time, 30*time.Second)
	orDefault(&l.Memory, 256<<20)
	return l
}

func orDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// Exceeded says which limit an overlay exceeds. It stands in an *Error, which
// says where.
type Exceeded struct {
	Limit string // the last part of its name in the configuration: "objects"
	What  string // "renders to 5,210 objects; the limit is 5,000"
}

func (e *Exceeded) Error() string {
	return fmt.Sprintf("%s (render.limits.%s in the agent's configuration)", e.What, e.Limit)
}

// size is a number of bytes as people write it.
func size(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
