package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	deploys = 30
	polls   = 8
)

// measureDeploys takes the time from a push to the last of ten objects.
func measureDeploys(ctx context.Context, b *bench) ([]row, error) {
	applied, green, err := b.deploys(ctx, deploys, true)
	return []row{
		applied.row("push → last of 10 objects applied, image verified", reach{p50: 300 * time.Millisecond, p99: time.Second}),
		green.row("push → check green (a rollout of one pod in it)", reach{}),
	}, err
}

// measurePolling is the same without a webhook.
func measurePolling(ctx context.Context, b *bench) ([]row, error) {
	applied, _, err := b.deploys(ctx, polls, false)
	return []row{applied.row("push without a webhook → applied", reach{p99: 6 * time.Second})}, err
}

// deploys pushes revisions, and takes the time until all objects of each say
// so, and until its check is green.
func (b *bench) deploys(ctx context.Context, n int, webhook bool) (applied, green sample, err error) {
	m, err := b.open(ctx, 9, 1, webhook)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, m.process.Stop(ctx)) }()
	for i := range n {
		text, begun := fmt.Sprint(i+1), time.Now()
		commit, err := m.say(ctx, text)
		if err != nil {
			return nil, nil, err
		}
		last, err := m.seen.until(ctx, begun, text, false, append(m.places(0, len(m.texts)), m.deployment())...)
		if err != nil {
			return nil, nil, err
		}
		if err := m.Green(ctx, commit, "dev"); err != nil {
			return nil, nil, err
		}
		applied, green = append(applied, last.Sub(begun)), append(green, time.Since(begun))
	}
	return applied, green, nil
}
