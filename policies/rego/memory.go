package rego

import (
	"context"
	"fmt"
	"runtime/metrics"
	"time"
)

// liveHeap is what the last garbage collection found in use: it grows only by
// what is held, not by what was used and left.
const liveHeap = "/gc/heap/live:bytes"

// watchEvery is how often the memory is looked at. Most policies are done before
// the first time.
const watchEvery = 20 * time.Millisecond

// watchMemory cancels when the process holds more memory than when it began.
// OPA has no bound of its own, and running out would end the agent.
func watchMemory(ctx context.Context, limit uint64, cancel context.CancelCauseFunc) {
	sample := []metrics.Sample{{Name: liveHeap}}
	held := func() uint64 {
		metrics.Read(sample)
		if sample[0].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return sample[0].Value.Uint64()
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	before := held()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if now := held(); now > before && now-before > limit {
				cancel(fmt.Errorf("needs more than %d MiB of memory and was stopped", limit>>20))
				return
			}
		}
	}
}
