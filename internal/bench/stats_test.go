package main

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	var hundred sample
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, c := range []struct {
		says string
		s    sample
		p    int
		want time.Duration
	}{
		{"the median of a hundred is the fiftieth", hundred, 50, 50},
		{"the 99th of a hundred is the one before the last", hundred, 99, 99},
		{"the 99th of few is the worst of them", sample{3, 1, 2}, 99, 3},
		{"one is every percentile of itself", sample{7}, 50, 7},
		{"nothing has none", nil, 50, 0},
	} {
		if got := c.s.percentile(c.p); got != c.want {
			t.Errorf("%s: got %d, want %d", c.says, got, c.want)
		}
	}
}

func TestAReachIsMetByItsPercentiles(t *testing.T) {
	t.Parallel()
	s := sample{1 * time.Millisecond, 2 * time.Millisecond, 90 * time.Millisecond}
	for _, c := range []struct {
		says  string
		reach reach
		text  string
		met   string
	}{
		{"both are held", reach{2 * time.Millisecond, 90 * time.Millisecond}, "p50 ≤ 2 ms, p99 ≤ 90 ms", "met"},
		{"the median is too long", reach{1500 * time.Microsecond, time.Second}, "p50 ≤ 1500 µs, p99 ≤ 1 s", "not met"},
		{"the slowest are too long", reach{time.Second, 50 * time.Millisecond}, "p50 ≤ 1 s, p99 ≤ 50 ms", "not met"},
		{"one figure is of each", reach{p99: 50 * time.Millisecond}, "≤ 50 ms", "not met"},
		{"the median alone", reach{p50: 50 * time.Millisecond}, "p50 ≤ 50 ms", "met"},
		{"nothing is asked for", reach{}, "", ""},
	} {
		if got := s.row("x", c.reach); got.Reach != c.text || got.Met != c.met {
			t.Errorf("%s: got %q, %q, want %q, %q", c.says, got.Reach, got.Met, c.text, c.met)
		}
	}
}
