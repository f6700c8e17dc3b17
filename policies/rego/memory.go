package rego

import (
	"context"
	"errors"
	"runtime"
	"runtime/metrics"
	"time"
)

// heapObjects is what is allocated at this moment, left or not. What a garbage
// collection found in use would come too late: one that is fast fills the memory
// between two of them.
const heapObjects = "/memory/classes/heap/objects:bytes"

// watchEvery is how often the memory is looked at. What one function makes
// meanwhile is bounded by guard.
const watchEvery = 5 * time.Millisecond

// watchMemory cancels when the process holds more memory than when it began.
// OPA has no bound of its own. Running out ends the process, as what this is too
// slow for does; who is stopped by it hears why, and the next keeps the process.
func watchMemory(ctx context.Context, limits Limits, cancel context.CancelCauseFunc) {
	sample := []metrics.Sample{{Name: heapObjects}}
	allocated := func() uint64 {
		metrics.Read(sample)
		if sample[0].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return sample[0].Value.Uint64()
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	before := allocated()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if allocated() <= before+limits.Memory {
				continue
			}
			runtime.GC() // what was used and left does not count
			if allocated() > before+limits.Memory {
				cancel(errors.New(limits.large()))
				return
			}
		}
	}
}
