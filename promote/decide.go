package promote

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// Input is all that is looked at to decide what enters an environment.
type Input struct {
	Pipeline    environments.Pipeline
	Environment string // where digests may go
	// Head is the commit of the watched branch. What is known of an older
	// commit proves nothing about the digests that stand there now.
	Head gitsync.Commit
	// Sources are the states of the environments that come before.
	Sources []EnvironmentState
	// Destination has the images of each target as its overlay renders at Head.
	Destination EnvironmentState
	// Trust is what a digest must satisfy before it is proposed at all.
	Trust policies.Trust
	// Now is when this is decided; without it nothing is young enough where
	// Trust bounds an age.
	Now time.Time
	// Approvals is how many people must approve what enters the environment.
	Approvals int
}

// Decision is what shall enter an environment.
type Decision struct {
	Environment string
	// Batches are the pull requests to be, by application, or one for all.
	Batches []Batch
}

// Batch is what goes together.
type Batch struct {
	// Application is empty where the batch is the whole environment, or where
	// there are no applications.
	Application string
	Verdict     Verdict
	// Why is a sentence without its full stop. With Go it names what stays
	// behind, and is empty if nothing does.
	Why   string
	Moves []Move // with Go only
	// Approvals is how many people must approve the pull request, and Auto that
	// the agent merges it then. With Go only.
	Approvals int
	Auto      bool
}

// Verdict is what to do with a batch.
type Verdict string

const (
	Nothing Verdict = "nothing" // all digests are there already
	Wait    Verdict = "wait"    // something is missing that may still come
	Go      Verdict = "go"
)

// Decide says which digests enter an environment that others come before. A
// digest goes only from a target that is healthy at the head now to the target
// of the same application, and with evidence that satisfies the trust. An image
// without counterpart stays as it is. Whether a person has closed or reverted
// the same proposal before is for the forge to say, which alone knows.
func Decide(in Input) Decision {
	d := Decision{Environment: in.Environment}
	env, ok := in.Pipeline.Environment(in.Environment)
	if !ok || len(env.After) == 0 {
		return d
	}
	var single []judged
	for _, dest := range in.Destination.Targets {
		single = append(single, in.application(env, dest))
	}
	batches := make([]Batch, 0, len(single))
	if env.Promotion.Batch == environments.BatchEnvironment {
		if len(single) > 0 {
			batches = append(batches, together(single))
		}
	} else {
		for _, j := range single {
			batches = append(batches, j.Batch)
		}
	}
	for i := range batches {
		if batches[i].Verdict == Go {
			batches[i].Approvals, batches[i].Auto = in.Approvals, env.Promotion.Merge == environments.MergeAuto
		}
	}
	d.Batches = batches
	return d
}

// judged is what was decided for one application alone.
type judged struct {
	Batch
	onItsWay bool // the source may be healthy in a moment, without anybody acting
}

// together makes one batch of all applications. While one is on its way it
// waits, so that a pull request under review does not change with each
// application that becomes healthy; one that failed does not hold up others.
func together(single []judged) Batch {
	var moves []Move
	var waiting, behind []string
	for _, j := range single {
		switch j.Verdict {
		case Go:
			moves = append(moves, j.Moves...)
		case Wait:
			behind = append(behind, j.Why)
			if j.onItsWay {
				waiting = append(waiting, j.Why)
			}
		}
	}
	switch {
	case len(waiting) > 0:
		return Batch{Verdict: Wait, Why: strings.Join(waiting, "; ")}
	case len(moves) > 0:
		return Batch{Verdict: Go, Why: strings.Join(behind, "; "), Moves: moves}
	case len(behind) > 0:
		return Batch{Verdict: Wait, Why: strings.Join(behind, "; ")}
	}
	return Batch{Verdict: Nothing, Why: "every digest is there already"}
}

// application decides for one destination target.
func (in Input) application(env environments.Environment, dest TargetState) judged {
	wait := func(onItsWay bool, format string, args ...any) judged {
		why := fmt.Sprintf(format, args...)
		return judged{Batch: Batch{Application: dest.Target.Application, Verdict: Wait, Why: why}, onItsWay: onItsWay}
	}
	if len(dest.Images)+len(dest.Unpinned) == 0 {
		if dest.Problem.Text != "" {
			return wait(false, "%s does not render", dest.Target)
		}
		return judged{Batch: Batch{Application: dest.Target.Application, Verdict: Nothing, Why: fmt.Sprintf("%s has no images", dest.Target)}}
	}

	var sources []TargetState
	for _, name := range env.After {
		state, ok := find(in.Sources, func(s EnvironmentState) bool { return s.Environment == name })
		if !ok {
			return wait(true, "nothing is known of %s yet", name)
		}
		source, ok := find(state.Targets, func(t TargetState) bool { return t.Target.Application == dest.Target.Application })
		switch {
		case !ok:
			return wait(false, "%s has no counterpart in %s", dest.Target, name)
		case state.Commit != in.Head:
			return wait(true, "%s is known at %s only, and the branch is at %s", source.Target, state.Commit.Short(), in.Head.Short())
		case source.Stage == StageFailed:
			return wait(false, "%s failed", source.Target)
		case source.Stage == StageRetrying:
			return wait(false, "%s is retrying", source.Target)
		case source.Stage != StageHealthy:
			return wait(true, "%s is %s", source.Target, source.Stage)
		}
		sources = append(sources, source)
	}

	var moves []Move
	for _, now := range versions(dest) {
		move := Move{Target: dest.Target, Repository: now.repository, Name: now.name, From: now.digest, FromTag: now.tag}
		for i, source := range sources {
			runs, ok := find(versions(source), func(v version) bool { return v.repository == now.repository })
			if !ok {
				move.To = ""
				break // no counterpart: the image stays
			}
			if runs.ambiguous {
				return wait(false, "%s runs several digests of %s", source.Target, now.repository)
			}
			if runs.digest == "" {
				return wait(false, "%s runs %s without a digest", source.Target, now.repository)
			}
			if i > 0 && runs.digest != move.To {
				return wait(false, "%s and %s run different digests of %s", sources[0].Target, source.Target, now.repository)
			}
			move.To, move.Tag, move.Evidence = runs.digest, runs.tag, runs.evidence
			move.Passed = append(move.Passed, Passed{Environment: source.Target.Environment, Commit: in.Head, Since: source.Since})
		}
		if move.To == "" || move.To == now.digest && !now.ambiguous {
			continue
		}
		if pinned := now.repository + "@" + move.To; move.Evidence.Image != pinned || !in.Trust.Satisfied(now.repository, move.Evidence, in.Now) {
			return wait(false, "there is no evidence that satisfies the trust for %s", short(now.repository, move.To))
		}
		moves = append(moves, move)
	}
	if len(moves) == 0 {
		return judged{Batch: Batch{Application: dest.Target.Application, Verdict: Nothing, Why: fmt.Sprintf("every digest is in %s already", dest.Target)}}
	}
	return judged{Batch: Batch{Application: dest.Target.Application, Verdict: Go, Moves: moves}}
}

// version is what a target has of one repository.
type version struct {
	repository, name, digest, tag string
	evidence                      policies.Evidence
	ambiguous                     bool // several digests, or a digest and a tag
}

// versions are those of a target, sorted by repository.
func versions(t TargetState) []version {
	var out []version
	add := func(v version) {
		i := slices.IndexFunc(out, func(o version) bool { return o.repository == v.repository })
		switch {
		case i < 0:
			out = append(out, v)
		case out[i].digest != v.digest:
			out[i].ambiguous = true
		}
	}
	for i, image := range t.Images {
		v := version{repository: image.Repository, digest: image.Digest}
		v.name, v.tag = written(image.Reference)
		if i < len(t.Evidence) {
			v.evidence = t.Evidence[i]
		}
		add(v)
	}
	for _, image := range t.Unpinned {
		v := version{repository: image.Repository}
		v.name, v.tag = written(image.Reference)
		add(v)
	}
	slices.SortFunc(out, func(a, b version) int { return cmp.Compare(a.repository, b.repository) })
	return out
}

// written splits a reference as an object has it into repository and tag.
func written(reference string) (repository, tag string) {
	repository, _, _ = strings.Cut(reference, "@")
	if colon := strings.LastIndexByte(repository, ':'); colon > strings.LastIndexByte(repository, '/') {
		return repository[:colon], repository[colon+1:]
	}
	return repository, ""
}

func find[T any](list []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], true
	}
	var none T
	return none, false
}
