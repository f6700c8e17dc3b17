package main

import (
	"fmt"
	"slices"
	"time"
)

// sample is a set of measured durations.
type sample []time.Duration

// percentile is the smallest duration that p percent of the sample do not exceed.
func (s sample) percentile(p int) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}

// row is a line of the table.
type row struct {
	what  string
	p50   string
	p99   string
	n     int
	reach string // what DESIGN.md's table asks for
}

func (s sample) row(what, reach string) row {
	return row{what: what, p50: short(s.percentile(50)), p99: short(s.percentile(99)), n: len(s), reach: reach}
}

func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}
