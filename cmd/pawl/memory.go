package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// lullAfter is how long the collector must have had nothing to do before memory
// is returned to the system.
const lullAfter = 5 * time.Second

// returnMemory returns to the system what a large sync needed and nothing needs
// any more, until ctx ends. Go itself keeps most of that: what it returns is
// counted from the last collection, and after a burst of work the next one is
// minutes away.
func returnMemory(ctx context.Context) {
	tick := time.NewTicker(lullAfter)
	defer tick.Stop()
	var l lull
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if l.begins(collections()) {
			debug.FreeOSMemory()
		}
	}
}

// collections is how often the collector has run by itself.
func collections() uint64 {
	run := []metrics.Sample{{Name: "/gc/cycles/automatic:gc-cycles"}}
	metrics.Read(run)
	return run[0].Value.Uint64()
}

// lull tells when a process that was at work has come to rest.
type lull struct {
	collections uint64
	resting     bool
}

// begins is asked at intervals. It is true once after each time in which the
// collector had to run: a process at rest is left alone.
func (l *lull) begins(collections uint64) bool {
	quiet := collections == l.collections
	begins := quiet && !l.resting
	l.collections, l.resting = collections, quiet
	return begins
}
