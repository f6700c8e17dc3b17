package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// deploy takes one target through the stages at one revision. It returns as
// soon as the objects are applied; health follows by notice. Any error leaves
// the target's last release running and kept.
func (a *Agent) deploy(ctx context.Context, j job) error {
	started := a.now()
	unchanged, err := a.stages(ctx, j)
	log := a.log.With().Str("target", j.target.String()).Str("commit", string(j.revision.Commit)).Logger()
	if unchanged {
		log.Debug().Msg("the commit does not touch the target")
		return nil
	}
	if err == nil {
		a.metrics.deploys.WithLabelValues(j.target.Environment, j.target.Application, "applied").Inc()
		log.Info().Dur("took_ms", a.now().Sub(started)).Msg("applied")
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	p, stage := problem(err), promote.StageFailed
	var unpinned *render.UnpinnedError
	switch {
	case errors.As(err, &unpinned) && promote.AwaitsDigest(j.environment, unpinned.Images()):
		stage, p.Hint = promote.StageAwaiting, "The digest is committed, or promoted by pull request, as soon as there is a verified one."
	case classify(err).fate == retry:
		stage = promote.StageRetrying
	}
	a.board.update(j.target, j.revision.Commit, func(s *promote.TargetState) { s.Stage, s.Problem = stage, p })
	a.metrics.deploys.WithLabelValues(j.target.Environment, j.target.Application, p.Reason).Inc()
	log.Warn().Str("reason", p.Reason).Str("stage", string(stage)).Msg(p.Text)
	return err
}

// stages reports whether there was nothing to do, because the release that the
// target has is the one that the commit asks for.
func (a *Agent) stages(ctx context.Context, j job) (unchanged bool, err error) {
	at := func(stage promote.Stage) {
		if j.retry {
			return // a check does not flicker between two tries that end alike
		}
		a.board.update(j.target, j.revision.Commit, func(s *promote.TargetState) { s.Stage = stage })
	}

	at(promote.StageRendering)
	release, err := a.render(ctx, j)
	if err != nil {
		return false, err
	}
	if a.board.resume(j.target, j.revision.Commit, settingsOf(j.environment), release) {
		return true, nil
	}

	at(promote.StageVerifying)
	verified, err := a.verify(ctx, release)
	if err != nil {
		return false, err
	}

	at(promote.StageApplying)
	cluster, ok := a.edges.Clusters[j.environment.Name]
	if !ok {
		return false, fmt.Errorf("%s: this agent has no cluster for environment %s", j.target, j.environment.Name)
	}
	a.board.keep(j.target, settingsOf(j.environment), release)
	applied, err := cluster.Apply(ctx, verified, drift.Terms{Environment: j.environment})
	if err != nil {
		return false, err
	}
	a.board.applied(j.target, j.revision.Commit, verified, applied)
	return false, nil
}

// render builds the release and shows the images that it has, pinned or not.
func (a *Agent) render(ctx context.Context, j job) (render.Release, error) {
	result, err := a.build(ctx, j.revision, j.target)
	if err != nil {
		var unpinned *render.UnpinnedError
		if errors.As(err, &unpinned) {
			a.board.update(j.target, j.revision.Commit, func(s *promote.TargetState) { s.Unpinned = unpinned.Images() })
		}
		return render.Release{}, err
	}
	a.board.update(j.target, j.revision.Commit, func(s *promote.TargetState) { s.Images, s.Unpinned = result.Release.Images, nil })
	return result.Release, nil
}

// verify gathers the evidence for a release's images and judges them.
func (a *Agent) verify(ctx context.Context, release render.Release) (policies.Verified, error) {
	evidence, err := a.edges.Evidence.Collect(ctx, release.Images, a.options.Trust)
	if err != nil {
		return policies.Verified{}, err
	}
	return policies.Judge(release, policies.Demands{Trust: a.options.Trust}, policies.Findings{At: a.now(), Images: evidence})
}

// notice takes in what watching a cluster found.
func (a *Agent) notice(n drift.Notice) {
	if d := n.Drift; d != nil {
		a.tellDrift(n.Target, *d)
	}
	a.board.notice(n)
}

func (a *Agent) tellDrift(t environments.Target, d drift.Drift) {
	log := a.log.With().Str("target", t.String()).Str("object", d.Object.String()).
		Str("manager", d.Manager).Bool("deleted", d.Deleted).Logger()
	switch {
	case d.Err != nil:
		a.metrics.drift.WithLabelValues(t.Environment, "failed").Inc()
		log.Warn().Err(d.Err).Msg("drift could not be put back; the agent goes on trying")
	case d.CorrectedAt.IsZero():
		a.metrics.drift.WithLabelValues(t.Environment, "reported").Inc()
		log.Warn().Msg("drift seen; this environment only reports it")
	default:
		took := d.CorrectedAt.Sub(d.SeenAt)
		a.metrics.drift.WithLabelValues(t.Environment, "corrected").Inc()
		a.metrics.driftSeconds.Observe(took.Seconds())
		log.Info().Dur("took_ms", took).Msg("drift put back")
	}
}
