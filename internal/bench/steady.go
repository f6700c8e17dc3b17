package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

const (
	steadyObjects = 4000
	restarts      = 5
	// quiet is how long the steady state is looked at.
	quiet = 30 * time.Second
)

// measureSteadyState looks at an agent that has nothing to do, and starts it
// again.
func measureSteadyState(ctx context.Context, b *bench) (rows []row, err error) {
	m, err := b.open(ctx, steadyObjects-1, 20, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.process.Stop(ctx)) }()
	audit := b.world.ControlPlane.Audit()
	b.progress("the steady state of %d objects", steadyObjects)
	rows, err = m.steady(ctx, audit)
	if err != nil {
		return nil, err
	}
	var converged sample
	writes := 0
	for i := range restarts {
		b.progress("restart with %d objects, %d of %d", steadyObjects, i+1, restarts)
		if err := m.process.Stop(ctx); err != nil {
			return nil, err
		}
		mark, err := audit.Mark()
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		if m.process, err = m.StartAgent(ctx, b.pawl); err != nil {
			return nil, err
		}
		if err := testworld.Until(ctx, "the agent to know that all is well", func(ctx context.Context) (bool, string, error) {
			status, err := m.Status(ctx)
			if err != nil || len(status.Environments) == 0 {
				return false, "nothing", nil
			}
			return status.Environments[0].State == "success", status.Environments[0].State, nil
		}); err != nil {
			return nil, err
		}
		converged = append(converged, time.Since(begun))
		since, err := audit.Since(mark)
		if err != nil {
			return nil, err
		}
		for _, e := range since.Writes(testworld.AgentUser) {
			if e.Resource != "leases" {
				writes++
			}
		}
	}
	return append(rows,
		converged.row(fmt.Sprintf("restart with %d objects → converged view", steadyObjects), reach{p99: 3 * time.Second}),
		row{What: "restarts: writes, the Lease apart", P50: fmt.Sprint(writes), N: restarts, Reach: "0", Met: met(writes == 0)},
	), nil
}

func (m *measured) steady(ctx context.Context, audit *controlplane.Audit) ([]row, error) {
	requests := func(window time.Duration) (int, error) {
		mark, err := audit.Mark()
		if err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(window):
		}
		events, err := audit.Since(mark)
		count := 0
		for _, e := range events {
			// A watch that is renewed is the API server's doing, and the Lease that says
			// which replica works is renewed all the time: neither is a request for objects.
			if strings.HasPrefix(e.UserAgent, "pawl/") && e.Verb != "watch" && e.Resource != "leases" {
				count++
			}
		}
		return count, err
	}
	// What the start left behind is over when a look sees no request. If that
	// does not come, the figures below say so.
	for range 6 {
		left, err := requests(5 * time.Second)
		if err != nil {
			return nil, err
		}
		if left == 0 {
			break
		}
	}
	before, err := usageOf(m.process.PID())
	if err != nil {
		return nil, err
	}
	count, err := requests(quiet)
	if err != nil {
		return nil, err
	}
	after, err := usageOf(m.process.PID())
	if err != nil {
		return nil, err
	}
	share := 100 * float64(after.cpu-before.cpu) / float64(quiet)
	rows := []row{
		{What: fmt.Sprintf("steady state, %d objects: object requests in %s", steadyObjects, quiet), P50: fmt.Sprint(count), N: 1, Reach: "0", Met: met(count == 0)},
		{What: "steady state: share of a core", P50: fmt.Sprintf("%.1f %%", share), N: 1, Reach: "< 1 %", Met: met(share < 1)},
	}
	memory, err := memoryRows(ctx, m.Shop, m.process.PID(), fmt.Sprintf("%d objects in few targets", steadyObjects))
	return append(rows, memory...), err
}
