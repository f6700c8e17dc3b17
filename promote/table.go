package promote

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/policies"
)

func rank(t TargetState) int {
	switch t.Stage {
	case StageFailed:
		return 0
	case StageRetrying, StagePruneHeld:
		return 1
	case StageHealthy:
		return 3
	}
	return 2
}

// cellImages bounds a table cell.
const cellImages = 6

func (t TargetState) row() string {
	var images, verified []string
	seen := map[string]bool{} // an image is told once, wherever it stands
	for i, image := range t.Images {
		if seen[image.Pinned()] {
			continue
		}
		seen[image.Pinned()] = true
		if len(seen) > cellImages {
			continue
		}
		images = append(images, code(short(familiar(image.Repository), image.Digest)))
		by := ""
		if i < len(t.Evidence) {
			by = cell(t.Evidence[i])
		}
		verified = append(verified, by)
	}
	if more := len(seen) - cellImages; more > 0 {
		images = append(images, fmt.Sprintf("and %d more", more))
	}
	for i, image := range t.Unpinned {
		if i == cellImages {
			break
		}
		images = append(images, code(clip(image.Reference, 200))+", not pinned")
	}
	if len(verified) > 0 && !slices.ContainsFunc(verified, func(v string) bool { return v != verified[0] }) {
		verified = verified[:1]
	}
	if by := t.policies(); by != "" {
		switch {
		case len(verified) == 1 && verified[0] != "":
			verified[0] += ", " + by
		case len(verified) == 1: // nothing is known of the images yet
			verified[0] = by
		default:
			verified = append(verified, by)
		}
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n",
		Escape(t.label()), strings.Join(images, "<br>"), strings.Join(verified, "<br>"), t.applied(), t.health())
}

// cell is by whom an image is signed, and what is attested of it.
func cell(e policies.Evidence) string {
	if len(e.Signatures) == 0 {
		return "—"
	}
	by := e.Signers()
	for i := range by {
		by[i] = Escape(clip(by[i], 100))
	}
	return strings.Join(append(by, attested(e)...), ", ")
}

// policies counts those that answered and deny nothing: "policies 3 of 3".
func (t TargetState) policies() string {
	if len(t.Policies) == 0 {
		return ""
	}
	good := 0
	for _, p := range t.Policies {
		if p.Problem == "" && len(p.Denied) == 0 {
			good++
		}
	}
	return fmt.Sprintf("policies %d of %d", good, len(t.Policies))
}

func (t TargetState) applied() string {
	if t.Applied == nil {
		return "—"
	}
	changed := 0 // by this commit
	for _, step := range t.Applied.Steps {
		if !t.Unchanged && step.Action != drift.Unchanged && step.Action != drift.Keep {
			changed++
		}
	}
	out := fmt.Sprintf("%s, %d changed", count(len(t.Applied.Steps), "object"), changed)
	if n := len(t.Applied.Pending); n > 0 {
		out += fmt.Sprintf(", %d being deleted", n)
	}
	return out
}

func (t TargetState) health() string {
	switch {
	case t.Stage == StageFailed:
		return "✗ " + worst(t.Health, cmp.Or(t.Problem.Reason, "failed"))
	case t.done():
		return "✓ " + since(t.Since)
	case t.Stage == StageRetrying && t.lacks():
		return "… waiting, " + t.Problem.Reason
	case t.Stage == StageWaiting, t.Stage == StagePruneHeld:
		return "… " + worst(t.Health, string(t.Stage))
	}
	return "… " + string(t.Stage)
}

// worst is the object that decides the health, with what it lacks.
func worst(h drift.Health, otherwise string) string {
	for _, status := range []drift.HealthStatus{drift.Failed, drift.Progressing} {
		for _, o := range h.Objects {
			if o.Status == status {
				return Escape(clip(o.Object.String()+": "+o.Message, 200))
			}
		}
	}
	return otherwise
}
