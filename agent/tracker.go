package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// tracker follows the tags of the first environment and commits the digests
// that they point to, verified, until ctx ends.
func (a *Agent) tracker(ctx context.Context) {
	tick := time.NewTicker(a.options.TagPoll)
	defer tick.Stop()
	failing := again{pace: lookAgain}
	var tryAgain <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.tags:
		case <-tick.C:
		case <-tryAgain:
		}
		p, now := a.current.Load(), a.now()
		if p == nil || now.Before(failing.until) {
			continue
		}
		err := a.track(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failing.succeeded()
			continue
		}
		if failing.failed(err, now) {
			a.log.Warn().Err(err).Msg("digests of tracked tags were not committed; it is tried again")
		}
		tryAgain = time.After(failing.until.Sub(now))
	}
}

// track looks every tracked tag up once and commits what moved, in one commit.
// What cannot be written holds nothing else up.
func (a *Agent) track(ctx context.Context, p *demands.Demanded) error {
	first := p.Pipeline.First()
	if _, owned := a.edges.Clusters[first.Name]; !owned || len(first.Track) == 0 {
		return nil
	}
	if head, ok := a.board.environment(first.Name); !ok || head.Commit != p.Revision.Commit {
		return nil // the branch is elsewhere already, or its pawl.yaml cannot be used
	}
	demands, err := a.entry(p, first.Name)
	if err != nil {
		return err
	}
	stands := a.overlaysOf(ctx, p, first.Name)
	decision := promote.DecideFirst(promote.FirstInput{
		Pipeline: p.Pipeline, Destination: stands, Trust: demands.Trust, Now: a.now(),
		Candidates: a.candidates(ctx, first, stands, demands.Trust),
	})
	a.journal.decided(decision)
	var moves []promote.Move
	files := map[string][]byte{}
	for _, batch := range decision.Batches {
		if batch.Verdict != promote.Go {
			continue
		}
		written, err := a.bumped(ctx, p, batch.Moves)
		if err != nil {
			a.journal.failed(entering{first.Name, batch.Application}, fmt.Errorf("the digests cannot be written: %w", err))
			continue
		}
		moves = append(moves, batch.Moves...)
		maps.Copy(files, written)
	}
	if len(moves) == 0 {
		return nil
	}
	commit, err := a.edges.Forge.Commit(ctx, a.options.Branch, p.Revision.Commit, promote.TrackMessage(first.Name, moves), files)
	var moved *promote.Conflict
	if errors.As(err, &moved) {
		// Somebody pushed meanwhile. Their commit is read first, and reading it
		// wakes the tracker again.
		wake(a.fetch)
		return nil
	}
	if err != nil {
		return err
	}
	a.log.Info().Str("environment", first.Name).Str("commit", string(commit)).Int("digests", len(moves)).Msg("digests of tracked tags committed")
	wake(a.fetch)
	return nil
}

// candidates looks up what the tracked tags point to, and the evidence for
// what is new.
func (a *Agent) candidates(ctx context.Context, first environments.Environment, stands promote.EnvironmentState, trust policies.Trust) map[string]promote.Candidate {
	found := map[string]promote.Candidate{}
	for _, t := range stands.Targets {
		for _, image := range slices.Concat(t.Images, t.Unpinned) {
			if _, done := found[image.Repository]; done {
				continue
			}
			if track, ok := promote.TrackFor(first.Track, image.Repository); ok {
				found[image.Repository] = a.candidate(ctx, image.Repository, track, trust)
			}
		}
	}
	return found
}

func (a *Agent) candidate(ctx context.Context, repository string, track environments.Track, trust policies.Trust) promote.Candidate {
	tag, err := a.edges.Tags.Resolve(ctx, repository, track)
	if err != nil {
		return promote.Candidate{Problem: err.Error()}
	}
	image := render.Image{Repository: repository, Digest: tag.Digest, Reference: repository + ":" + tag.Tag + "@" + tag.Digest}
	evidence, err := a.edges.Evidence.Collect(ctx, []render.Image{image}, trust)
	if err != nil {
		return promote.Candidate{Found: tag, Problem: err.Error()}
	}
	return promote.Candidate{Found: tag, Evidence: evidence[image.Pinned()]}
}
