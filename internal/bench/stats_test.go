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
