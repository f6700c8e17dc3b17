package main

import (
	"slices"
	"testing"
)

func TestMemoryIsReturnedOnceWorkHasEnded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		says        string
		collections []uint64 // at each look
		want        []bool
	}{
		{"at work", []uint64{3, 9, 20, 31}, []bool{false, false, false, false}},
		{"once after work", []uint64{3, 9, 9, 9, 9}, []bool{false, false, true, false, false}},
		{"after each work again", []uint64{3, 3, 4, 4, 4, 7, 7}, []bool{false, true, false, true, false, false, true}},
		{"nothing was ever needed", []uint64{0, 0, 0}, []bool{true, false, false}},
	} {
		var l lull
		var got []bool
		for _, n := range c.collections {
			got = append(got, l.begins(n))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.says, got, c.want)
		}
	}
}
