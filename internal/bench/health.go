package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/internal/testworld"
)

const (
	healthTurns = 50
	rollbacks   = 10
	fixes       = 10
)

// measureHealth takes how soon the agent knows of a status, returns from a
// release that fails, and brings a fix for one that it waits for.
func measureHealth(ctx context.Context, b *bench) (rows []row, err error) {
	m, err := b.open(ctx, 9, 1, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.process.Stop(ctx)) }()
	for _, measure := range []func(context.Context, *bench) ([]row, error){m.knows, m.returns, m.mends} {
		more, err := measure(ctx, b)
		if err != nil {
			return rows, fmt.Errorf("%w\n%s", err, m.process.Tail(5))
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// knows changes the status of a Service, which no controller minds, and asks
// the agent for its own until it has the change.
func (m *measured) knows(ctx context.Context, b *bench) ([]row, error) {
	m.service = true
	commit, err := m.commit(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.Green(ctx, commit, "dev"); err != nil {
		return nil, err
	}
	b.progress("%d changes of a status", healthTurns)
	var known sample
	for i := range healthTurns {
		stalled, stage := "True", "failed"
		if i%2 == 1 {
			stalled, stage = "False", "healthy"
		}
		patch := fmt.Sprintf(`{"status":{"conditions":[{"type":"Stalled","status":%q,"reason":"Bench","message":"turn %d","lastTransitionTime":%q}]}}`, stalled, i, time.Now().UTC().Format(time.RFC3339))
		if _, err := m.client.CoreV1().Services(m.namespaces[0]).Patch(ctx, "web", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "bench"}, "status"); err != nil {
			return nil, err
		}
		changed := time.Now()
		if err := m.untilStage(ctx, stage); err != nil {
			return nil, err
		}
		known = append(known, time.Since(changed))
	}
	return []row{known.row("a status changed in the cluster → known to the agent", reach{p99: 100 * time.Millisecond})}, nil
}

// untilStage asks the agent without a pause until its target is in a stage.
func (m *measured) untilStage(ctx context.Context, stage string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		status, err := m.Status(ctx)
		if err != nil {
			return fmt.Errorf("wait for the target to be %s: %w", stage, err)
		}
		if status.Environments[0].Targets[0].Stage == stage {
			return nil
		}
	}
}

// returns pushes releases whose image cannot be pulled, and takes the time from
// the kubelet's word on that until the last good release runs again.
func (m *measured) returns(ctx context.Context, b *bench) ([]row, error) {
	var back sample
	good := m.web
	for i := range rollbacks {
		b.progress("rollback %d of %d", i+1, rollbacks)
		pods, err := m.client.CoreV1().Pods(m.namespaces[0]).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		m.web, m.fail = fmt.Sprint("bad ", i), "image-pull"
		if _, err := m.commit(ctx); err != nil {
			return nil, err
		}
		var signal time.Time
		for e := range pods.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok && pullFails(pod) {
				signal = time.Now()
				break
			}
		}
		pods.Stop()
		if signal.IsZero() {
			return nil, errors.New("a watch ended")
		}
		last, err := m.seen.until(ctx, signal, good, true, m.deployment())
		if err != nil {
			return nil, err
		}
		back = append(back, last.Sub(signal))
	}
	m.web, m.fail = "good", ""
	commit, err := m.commit(ctx)
	if err != nil {
		return nil, err
	}
	return []row{back.row("failing health → last good release running again", reach{p99: 10 * time.Second})}, m.Green(ctx, commit, "dev")
}

func pullFails(pod *corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Waiting != nil && c.State.Waiting.Reason == "ErrImagePull" && pod.DeletionTimestamp == nil {
			return true
		}
	}
	return false
}

// mends pushes a fix while the release before it does not get ready.
func (m *measured) mends(ctx context.Context, b *bench) ([]row, error) {
	var applied sample
	for i := range fixes {
		b.progress("fix %d of %d during a wait that fails", i+1, fixes)
		begun := time.Now()
		m.web, m.fail = fmt.Sprint("stuck ", i), "never-ready"
		if _, err := m.commit(ctx); err != nil {
			return nil, err
		}
		if _, err := m.seen.until(ctx, begun, m.web, false, m.deployment()); err != nil {
			return nil, err
		}
		if err := testworld.Until(ctx, "the agent to wait for health", func(ctx context.Context) (bool, string, error) {
			status, err := m.Status(ctx)
			if err != nil {
				return false, "", err
			}
			stage := status.Environments[0].Targets[0].Stage
			return stage == "waiting for health", stage, nil
		}); err != nil {
			return nil, err
		}
		m.web, m.fail = fmt.Sprint("mended ", i), ""
		begun = time.Now()
		commit, err := m.commit(ctx)
		if err != nil {
			return nil, err
		}
		last, err := m.seen.until(ctx, begun, m.web, false, m.deployment())
		if err != nil {
			return nil, err
		}
		applied = append(applied, last.Sub(begun))
		if err := m.Green(ctx, commit, "dev"); err != nil {
			return nil, err
		}
	}
	return []row{applied.row("a fix pushed while a release does not get ready → applied", reach{p99: time.Second})}, nil
}
