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

// watchEvery is how often the memory is looked at.
const watchEvery = 5 * time.Millisecond

// watchMemory cancels when the process holds more memory than when it began.
// OPA has no bound of its own. What this is too slow for, one call that makes
// much of little, is ended by the kernel with the process; this keeps it for the
// next evaluation, tells which of several tests it was, and is all that there is
// where the kernel holds no limit.
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
