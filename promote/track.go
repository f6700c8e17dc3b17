package promote

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// FirstInput is all that is looked at to decide what enters the first
// environment, which follows tags.
type FirstInput struct {
	Pipeline environments.Pipeline
	// Destination has the images of each target as its overlay renders at the head.
	Destination EnvironmentState
	// Candidates are what the tracked tags point to, by repository in normal form.
	Candidates map[string]Candidate
	Trust      policies.Trust
	// Now is when this is decided; without it nothing is young enough where
	// Trust bounds an age.
	Now time.Time
}

// Candidate is what a tracked tag points to and what is known of it. Problem
// says why nothing was found; it is empty if something was.
type Candidate struct {
	Found    Found
	Evidence policies.Evidence
	Problem  string
}

// TrackFor returns the rule by which a repository, given in normal form, is
// followed. Of several that match, the first counts.
func TrackFor(tracks []environments.Track, repository string) (environments.Track, bool) {
	return find(tracks, func(t environments.Track) bool {
		pattern := t.Image
		// A pattern without a wildcard is itself a repository, and may be
		// written in short.
		if normal, ok := normalRepository(pattern); ok {
			pattern = normal
		}
		matched, err := path.Match(dockerHub(pattern), repository)
		return err == nil && matched
	})
}

// dockerHub writes docker.io as the normal form does, for patterns that are no
// repository by themselves.
func dockerHub(pattern string) string {
	if rest, ok := strings.CutPrefix(pattern, "docker.io/"); ok {
		if !strings.Contains(rest, "/") {
			rest = "library/" + rest
		}
		return "index.docker.io/" + rest
	}
	return pattern
}

// AwaitsDigest reports whether all unpinned images of a target get their digest
// from the agent: their tag is tracked, or they stand without a tag in an
// environment that digests are promoted to. A tag elsewhere is a person's to pin.
func AwaitsDigest(env environments.Environment, unpinned []render.Image) bool {
	for _, image := range unpinned {
		_, tracked := TrackFor(env.Track, image.Repository)
		if !tracked && (len(env.After) == 0 || image.Tag != "") {
			return false
		}
	}
	return len(unpinned) > 0
}

// DecideFirst says which digests enter the first environment: those that the
// tracked tags point to, if their evidence satisfies the trust. Untracked
// images stay as they are, and one application does not hold up another.
func DecideFirst(in FirstInput) Decision {
	env := in.Pipeline.First()
	d := Decision{Environment: env.Name}
	for _, dest := range in.Destination.Targets {
		d.Batches = append(d.Batches, in.application(env, dest))
	}
	return d
}

func (in FirstInput) application(env environments.Environment, dest TargetState) Batch {
	b := Batch{Application: dest.Target.Application, Verdict: Nothing}
	wait := func(format string, args ...any) Batch {
		b.Verdict, b.Moves, b.Why = Wait, nil, fmt.Sprintf(format, args...)
		return b
	}
	tracked := false
	for _, now := range versions(dest) {
		track, ok := TrackFor(env.Track, now.repository)
		if !ok {
			continue
		}
		tracked = true
		c, ok := in.Candidates[now.repository]
		switch {
		case !ok:
			return wait("%s is not looked up yet", now.repository)
		case c.Problem != "":
			return wait("%s: %s", now.repository, c.Problem)
		case !validDigest(c.Found.Digest):
			return wait("%s: nothing was found for %s", now.repository, rule(track))
		case c.Found.Digest == now.digest && !now.ambiguous:
			continue
		}
		if pinned := now.repository + "@" + c.Found.Digest; c.Evidence.Image != pinned || !in.Trust.Satisfied(now.repository, c.Evidence, in.Now) {
			return wait("%s (%s) has no evidence that satisfies the trust", short(now.repository, c.Found.Digest), rule(track))
		}
		b.Verdict = Go
		b.Moves = append(b.Moves, Move{
			Target: dest.Target, Repository: now.repository, Name: now.name,
			From: now.digest, FromTag: now.tag, To: c.Found.Digest, Tag: c.Found.Tag, Evidence: c.Evidence,
		})
	}
	switch {
	case b.Verdict == Go:
	case tracked:
		b.Why = fmt.Sprintf("every digest is in %s already", dest.Target)
	default:
		b.Why = fmt.Sprintf("no rule tracks an image of %s", dest.Target)
	}
	return b
}

func rule(t environments.Track) string {
	if t.Semver != "" {
		return "semver " + t.Semver
	}
	return "tag " + t.Tag
}
