package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	deploys = 30
	polls   = 8
	edits   = 200
	// quiet is how long the steady state is looked at.
	quiet = 30 * time.Second
)

// measureDeploys takes the time from a push to the last of ten objects.
func measureDeploys(ctx context.Context, b *bench) (rows []row, err error) {
	m, err := b.open(ctx, 9, 1, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.process.Stop(ctx)) }()
	var applied, green sample
	for i := range deploys {
		a, g, err := m.deploy(ctx, fmt.Sprint(i+1))
		if err != nil {
			return nil, err
		}
		applied, green = append(applied, a), append(green, g)
	}
	return []row{
		applied.row("push → last of 10 objects applied, image verified", reach{p50: 300 * time.Millisecond, p99: time.Second}),
		green.row("push → check green (a rollout of one pod in it)", reach{}),
	}, nil
}

// measurePolling is the same without a webhook.
func measurePolling(ctx context.Context, b *bench) (rows []row, err error) {
	m, err := b.open(ctx, 9, 1, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.process.Stop(ctx)) }()
	var applied sample
	for i := range polls {
		a, _, err := m.deploy(ctx, fmt.Sprint(i+1))
		if err != nil {
			return nil, err
		}
		applied = append(applied, a)
	}
	return []row{applied.row("push without a webhook → applied", reach{p99: 6 * time.Second})}, nil
}

// deploy pushes a revision and takes the time until all objects say so, and
// until the check is green.
func (m *measured) deploy(ctx context.Context, text string) (applied, green time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	maps, err := m.client.CoreV1().ConfigMaps(m.namespaces[0]).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, 0, err
	}
	defer maps.Stop()
	deployments, err := m.client.AppsV1().Deployments(m.namespaces[0]).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, 0, err
	}
	defer deployments.Stop()

	started := time.Now()
	commit, err := m.commit(ctx, text)
	if err != nil {
		return 0, 0, err
	}
	said := map[string]bool{}
	for len(said) < m.maps+1 {
		var event watch.Event
		var open bool
		select {
		case <-ctx.Done():
			return 0, 0, fmt.Errorf("%d of %d objects were applied: %w", len(said), m.maps+1, ctx.Err())
		case event, open = <-maps.ResultChan():
		case event, open = <-deployments.ResultChan():
		}
		if !open {
			return 0, 0, errors.New("a watch ended")
		}
		if object, ok := event.Object.(metav1.Object); ok && says(event.Object, text) {
			said[object.GetName()] = true
		}
	}
	applied = time.Since(started)
	err = m.Green(ctx, commit, "dev")
	return applied, time.Since(started), err
}

// measureDrift edits one of 2,000 objects after the other, and then looks at
// the steady state.
func measureDrift(ctx context.Context, b *bench) (rows []row, err error) {
	m, err := b.open(ctx, 2000, 20, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.process.Stop(ctx)) }()
	rows, err = m.steady(ctx, b)
	if err != nil {
		return nil, err
	}
	var back sample
	for i := range edits {
		took, err := m.edit(ctx, i*(m.maps/edits))
		if err != nil {
			return nil, err
		}
		back = append(back, took)
	}
	return append(rows, back.row("an object edited by hand among 2,000 → put back", reach{p50: 6 * time.Millisecond, p99: 25 * time.Millisecond})), nil
}

// edit changes a ConfigMap as a person would, and takes the time from the
// answer to the moment when it is back.
func (m *measured) edit(ctx context.Context, i int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	namespace, name := m.configMap(i)
	maps := m.client.CoreV1().ConfigMaps(namespace)
	before, err := maps.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return 0, err
	}
	watching, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: before.ResourceVersion})
	if err != nil {
		return 0, err
	}
	defer watching.Stop()
	if _, err := maps.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"text":"by hand"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		return 0, err
	}
	edited, changed := time.Now(), false
	for {
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%s/%s was not put back: %w", namespace, name, ctx.Err())
		case event, open := <-watching.ResultChan():
			if !open {
				return 0, errors.New("a watch ended")
			}
			live, ok := event.Object.(*corev1.ConfigMap)
			switch {
			case !ok:
			case live.Data["text"] == "by hand":
				changed = true
			case changed && live.Data["text"] == before.Data["text"]:
				return time.Since(edited), nil
			}
		}
	}
}

// steady looks at an agent that has nothing to do.
func (m *measured) steady(ctx context.Context, b *bench) ([]row, error) {
	audit := b.world.ControlPlane.Audit()
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
	return []row{
		{what: fmt.Sprintf("steady state, %d objects: object requests in %s", m.maps+1, quiet), p50: fmt.Sprint(count), n: 1, reach: "0", met: met(count == 0)},
		{what: "steady state: share of a core", p50: fmt.Sprintf("%.1f %%", share), n: 1, reach: "< 1 %", met: met(share < 1)},
		{what: fmt.Sprintf("resident memory, %d objects in one target (of which not mapped files)", m.maps+1), p50: fmt.Sprintf("%d MiB (%d)", after.resident>>20, after.private>>20), n: 1, reach: "≤ 120 MiB at 1,000 targets × 4"},
	}, nil
}
