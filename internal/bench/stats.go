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
	What  string `json:"what"`
	P50   string `json:"p50"`
	P99   string `json:"p99,omitempty"`
	N     int    `json:"n"`
	Reach string `json:"reach,omitempty"` // what the design asks for, empty if nothing
	Met   string `json:"met,omitempty"`   // "met" or "not met", empty where there is no reach
}

// reach is what is asked of a sample. A figure that is asked for without a
// percentile is the 99th: it was promised of each.
type reach struct{ p50, p99 time.Duration }

func (r reach) String() string {
	switch {
	case r == reach{}:
		return ""
	case r.p50 == 0:
		return "≤ " + bound(r.p99)
	case r.p99 == 0:
		return "p50 ≤ " + bound(r.p50)
	}
	return fmt.Sprintf("p50 ≤ %s, p99 ≤ %s", bound(r.p50), bound(r.p99))
}

// bound writes a round duration: "300 ms".
func bound(d time.Duration) string {
	switch {
	case d%time.Second == 0:
		return fmt.Sprintf("%d s", d/time.Second)
	case d%time.Millisecond == 0:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return fmt.Sprintf("%d µs", d/time.Microsecond)
}

func (s sample) row(what string, r reach) row {
	out := row{What: what, P50: short(s.percentile(50)), P99: short(s.percentile(99)), N: len(s), Reach: r.String()}
	if out.Reach != "" {
		out.Met = met((r.p50 == 0 || s.percentile(50) <= r.p50) && (r.p99 == 0 || s.percentile(99) <= r.p99))
	}
	return out
}

// ratioTo says how many times as long as another sample this one took.
func (s sample) ratioTo(other sample, what string) row {
	ratio := func(p int) string {
		return fmt.Sprintf("%.2f ×", float64(s.percentile(p))/float64(other.percentile(p)))
	}
	return row{What: what, P50: ratio(50), P99: ratio(99), N: len(s)}
}

func met(yes bool) string {
	if yes {
		return "met"
	}
	return "not met"
}

func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1000)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}

// times takes how long each of n calls lasts.
func times(n int, do func(i int) error) (s sample, err error) {
	for i := range n {
		started := time.Now()
		err := do(i)
		s = append(s, time.Since(started))
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}
