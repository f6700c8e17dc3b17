package agent

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// overlaysOf renders an environment's targets as they stand in a repository, whoever
// owns the environment. Nothing is applied; builds that the workers made are
// not made again.
func (a *Agent) overlaysOf(ctx context.Context, p *demands.Demanded, environment string) promote.EnvironmentState {
	state := promote.EnvironmentState{Environment: environment, Commit: p.Revision.Commit}
	for _, t := range p.Targets {
		if t.Environment != environment {
			continue
		}
		s := promote.TargetState{Target: t}
		result, err := a.outline(ctx, p.Revision, t, p.ImageFields())
		var unpinned *render.UnpinnedError
		switch {
		case errors.As(err, &unpinned):
			s.Unpinned = unpinned.Images()
		case err != nil:
			s.Problem = problem(err)
		default:
			s.Images = result.Release.Images
		}
		state.Targets = append(state.Targets, s)
	}
	return state
}

// build renders a target and counts what really had to be built.
func (a *Agent) build(ctx context.Context, rev gitsync.Revision, t environments.Target, declared []render.KindFields) (render.Result, error) {
	result, err := a.renderer.Render(ctx, rev, t, declared...)
	a.count(t, result)
	return result, err
}

// outline is build for who needs no objects.
func (a *Agent) outline(ctx context.Context, rev gitsync.Revision, t environments.Target, declared []render.KindFields) (render.Result, error) {
	result, err := a.renderer.Outline(ctx, rev, t, declared...)
	a.count(t, result)
	return result, err
}

func (a *Agent) count(t environments.Target, r render.Result) {
	if r.Built {
		a.metrics.renders.WithLabelValues(t.Environment).Inc()
	}
}

// bumped returns the kustomizations of the moves' targets with the new digests.
// It tries them: what comes out of the overlays must be these digests.
func (a *Agent) bumped(ctx context.Context, p *demands.Demanded, moves []promote.Move) (map[string][]byte, error) {
	rev := p.Revision
	byTarget := map[environments.Target][]promote.Move{}
	for _, m := range moves {
		byTarget[m.Target] = append(byTarget[m.Target], m)
	}
	files := map[string][]byte{}
	for t, moves := range byTarget {
		file, text, err := kustomization(rev.Tree, t)
		if err != nil {
			return nil, err
		}
		var changes []promote.Change
		for _, m := range moves {
			changes = append(changes, promote.Change{Repository: m.Repository, Name: m.Name, Digest: m.To})
		}
		if files[file], err = promote.Bump(text, file, changes); err != nil {
			return nil, fmt.Errorf("%s: write digests: %w", t, err)
		}
		if err := a.arrives(ctx, p, t, moves, file, files[file]); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// arrives renders a target with its new kustomization. An entry of images: may
// not reach an image, because kustomize compares names as text or another
// transformer comes later; the same pull request would then be opened forever.
func (a *Agent) arrives(ctx context.Context, p *demands.Demanded, t environments.Target, moves []promote.Move, file string, text []byte) error {
	rev := p.Revision
	tree, err := rev.Tree.With(map[string][]byte{file: text})
	if err != nil {
		return fmt.Errorf("%s: %w", t, err)
	}
	rev.Tree = tree
	result, err := a.previews.Outline(ctx, rev, t, p.ImageFields()...)
	images := result.Release.Images
	var unpinned *render.UnpinnedError
	if errors.As(err, &unpinned) {
		images = unpinned.Images()
	} else if err != nil {
		return fmt.Errorf("try the new digests: %w", err)
	}
	for _, m := range moves {
		for _, image := range images {
			// An image that is still unpinned has no digest, and fails here too.
			if image.Repository == m.Repository && image.Digest != m.To {
				return fmt.Errorf("%s: the digest %s in the images: of %s does not reach %s of %s; write it where the image stands", t, m.To, file, image.Field, image.Object)
			}
		}
	}
	return nil
}

// kustomization finds the file of a target's overlay, by whichever of its names.
func kustomization(tree gitsync.Tree, t environments.Target) (file string, text []byte, err error) {
	for _, name := range environments.KustomizationFiles {
		file = path.Join(t.Overlay, name)
		if _, ok := tree.Lookup(file); ok {
			text, err = tree.Read(file)
			return file, text, err
		}
	}
	return "", nil, fmt.Errorf("%s: folder %s has no kustomization.yaml", t, t.Overlay)
}
