package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/promote"
)

// Looking again at open pull requests costs requests. Webhooks make it happen
// at once; without them it happens with growing waits.
const lookAgainFirst, lookAgainMost = 5 * time.Second, 10 * time.Minute

// promoter moves digests on from healthy environments, until ctx ends.
func (a *Agent) promoter(ctx context.Context) {
	again := backoff.NewExponentialBackOff()
	again.InitialInterval, again.MaxInterval, again.Multiplier = lookAgainFirst, lookAgainMost, 2
	var due <-chan time.Time
	for {
		look := false
		select {
		case <-ctx.Done():
			return
		case <-a.promotions:
		case <-a.pullRequests:
			look = true
			again.Reset()
		case <-due:
			look = true
		}
		p := a.current.Load()
		if p == nil {
			continue
		}
		changed, unfinished := a.promoteAll(ctx, p, look)
		if changed {
			again.Reset()
		}
		if look || changed {
			due = nil
		}
		if unfinished && due == nil {
			due = time.After(again.NextBackOff())
		}
	}
}

// proposed is a pull request as it was last brought up to date.
type proposed struct {
	content string // a digest of what was proposed
	pull    promote.PullRequest
	err     error
}

// promoteAll decides for every environment that digests enter by pull request.
// With look, open pull requests are looked at again even if nothing new is to
// be proposed. changed says that something new was proposed, unfinished that
// it is worth looking again.
func (a *Agent) promoteAll(ctx context.Context, p *Plan, look bool) (changed, unfinished bool) {
	wanted := map[entering]bool{}
	for _, environment := range p.Pipeline.Order() {
		sources, ok := a.sources(environment)
		if !ok {
			continue
		}
		decision := promote.Decide(promote.Input{
			Pipeline: p.Pipeline, Environment: environment.Name, Head: p.Revision.Commit,
			Sources: sources, Destination: a.overlaysOf(ctx, p, environment.Name), Trust: a.options.Trust,
		})
		a.journal.decided(decision)
		for _, batch := range decision.Batches {
			key := entering{environment.Name, batch.Application}
			if batch.Verdict != promote.Go {
				continue
			}
			wanted[key] = true
			c, u := a.propose(ctx, p, environment, batch, key, look)
			changed, unfinished = changed || c, unfinished || u
		}
	}
	a.heads.Clear()
	for key, p := range a.proposed {
		switch {
		case !wanted[key]:
			delete(a.proposed, key)
		case p.pull.State == promote.Open:
			a.heads.Store(p.pull.Head, true)
		}
	}
	return changed, unfinished
}

// sources are the states of the environments before one; not ok if the
// environment is the first or another agent knows them.
func (a *Agent) sources(e environments.Environment) (states []promote.EnvironmentState, ok bool) {
	for _, name := range e.After {
		if _, owned := a.edges.Clusters[name]; !owned {
			return nil, false
		}
		if state, known := a.board.environment(name); known {
			states = append(states, state)
		}
	}
	return states, len(e.After) > 0
}

// propose brings one pull request up to date, and merges it where the agent is
// to do that.
func (a *Agent) propose(ctx context.Context, p *Plan, e environments.Environment, batch promote.Batch, key entering, look bool) (changed, unfinished bool) {
	log := a.log.With().Str("environment", e.Name).Str("application", batch.Application).Logger()
	files, err := a.bumped(ctx, p.Revision, batch.Moves)
	if err != nil {
		log.Warn().Err(err).Msg("the promotion cannot be written")
		return false, false
	}
	content := contentOf(files)
	last, known := a.proposed[key]
	if known && last.content == content && last.err == nil && !look {
		return false, last.pull.State == promote.Open
	}
	proposal := promote.Propose(e.Name, batch, promote.Base{Branch: a.options.Branch, Commit: p.Revision.Commit, Files: files})
	pull, err := a.edges.Forge.Propose(ctx, proposal)
	if err == nil && pull.State == promote.Open && e.Promotion.Merge == environments.MergeAuto && pull.Blocked == "" {
		pull, err = a.merge(ctx, pull)
	}
	a.proposed[key] = proposed{content: content, pull: pull, err: err}
	a.journal.pull(e.Name, batch.Application, pull)
	if err != nil {
		if ctx.Err() == nil {
			a.metrics.proposals.WithLabelValues(e.Name, "failed").Inc()
			log.Warn().Err(err).Msg("the promotion is not brought up to date yet; it is tried again")
		}
		return false, true
	}
	changed = !known || last.content != content
	if changed || last.pull != pull {
		a.metrics.proposals.WithLabelValues(e.Name, string(pull.State)).Inc()
		log.Info().Int("pull", pull.Number).Str("state", string(pull.State)).Str("blocked", pull.Blocked).Msg("promotion pull request")
	}
	return changed, pull.State == promote.Open
}

// merge merges a pull request whose head was checked, and wakes the loop. That
// GitHub does not allow it yet is no error.
func (a *Agent) merge(ctx context.Context, pull promote.PullRequest) (promote.PullRequest, error) {
	err := a.edges.Forge.Merge(ctx, pull)
	var blocked *promote.Blocked
	switch {
	case errors.As(err, &blocked):
		pull.Blocked = blocked.Reason
		return pull, nil
	case err != nil:
		return pull, fmt.Errorf("merge pull request #%d: %w", pull.Number, err)
	}
	pull.State = promote.Merged
	wake(a.fetch)
	return pull, nil
}

// contentOf identifies what a pull request writes.
func contentOf(files map[string][]byte) string {
	h := sha256.New()
	for _, file := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s\x00%d\x00", file, len(files[file]))
		h.Write(files[file])
	}
	return hex.EncodeToString(h.Sum(nil))
}
