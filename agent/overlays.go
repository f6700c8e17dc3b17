package agent

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// overlaysOf renders an environment's targets as they stand in a plan, whoever
// owns the environment. Nothing is applied; builds that the workers made are
// not made again.
func (a *Agent) overlaysOf(ctx context.Context, p *Plan, environment string) promote.EnvironmentState {
	state := promote.EnvironmentState{Environment: environment, Commit: p.Revision.Commit}
	for _, t := range p.Targets {
		if t.Environment != environment {
			continue
		}
		s := promote.TargetState{Target: t}
		result, err := a.renderer.Render(ctx, p.Revision, t)
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

// bumped returns the kustomizations of the moves' targets with the new digests.
func bumped(rev gitsync.Revision, moves []promote.Move) (map[string][]byte, error) {
	byTarget := map[environments.Target][]promote.Change{}
	for _, m := range moves {
		byTarget[m.Target] = append(byTarget[m.Target], promote.Change{Repository: m.Repository, Name: m.Name, Digest: m.To})
	}
	files := map[string][]byte{}
	for t, changes := range byTarget {
		file, text, err := kustomization(rev.Tree, t)
		if err != nil {
			return nil, err
		}
		if files[file], err = promote.Bump(text, file, changes); err != nil {
			return nil, fmt.Errorf("%s: write digests: %w", t, err)
		}
	}
	return files, nil
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
