package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// tracker follows the tags of the first environment and commits the digests
// that they point to, verified, until ctx ends.
func (a *Agent) tracker(ctx context.Context) {
	tick := time.NewTicker(a.options.TagPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.tags:
		case <-tick.C:
		}
		if p := a.current.Load(); p != nil {
			if err := a.track(ctx, p); err != nil && ctx.Err() == nil {
				a.log.Warn().Err(err).Msg("digests of tracked tags were not committed; it is tried again")
			}
		}
	}
}

// track looks every tracked tag up once and commits what moved, in one commit.
func (a *Agent) track(ctx context.Context, p *Plan) error {
	first := p.Pipeline.First()
	if _, owned := a.edges.Clusters[first.Name]; !owned || len(first.Track) == 0 {
		return nil
	}
	if head, ok := a.board.environment(first.Name); !ok || head.Commit != p.Revision.Commit {
		return nil // the branch is elsewhere already, or its pawl.yaml cannot be used
	}
	now := a.overlaysOf(ctx, p, first.Name)
	decision := promote.DecideFirst(promote.FirstInput{
		Pipeline: p.Pipeline, Destination: now, Trust: a.options.Trust,
		Candidates: a.candidates(ctx, first, now),
	})
	a.journal.decided(decision)
	moves := decision.Moves()
	if len(moves) == 0 {
		return nil
	}
	files, err := a.bumped(ctx, p.Revision, moves)
	if err != nil {
		return err
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
func (a *Agent) candidates(ctx context.Context, first environments.Environment, now promote.EnvironmentState) map[string]promote.Candidate {
	found := map[string]promote.Candidate{}
	for _, t := range now.Targets {
		for _, image := range slices.Concat(t.Images, t.Unpinned) {
			if _, done := found[image.Repository]; done {
				continue
			}
			if track, ok := promote.TrackFor(first.Track, image.Repository); ok {
				found[image.Repository] = a.candidate(ctx, image.Repository, track)
			}
		}
	}
	return found
}

func (a *Agent) candidate(ctx context.Context, repository string, track environments.Track) promote.Candidate {
	tag, err := a.edges.Tags.Resolve(ctx, repository, track)
	if err != nil {
		return promote.Candidate{Problem: err.Error()}
	}
	image := render.Image{Repository: repository, Digest: tag.Digest, Reference: repository + ":" + tag.Tag + "@" + tag.Digest}
	evidence, err := a.edges.Evidence.Collect(ctx, []render.Image{image}, a.options.Trust)
	if err != nil {
		return promote.Candidate{Found: tag, Problem: err.Error()}
	}
	return promote.Candidate{Found: tag, Evidence: evidence[image.Pinned()]}
}
