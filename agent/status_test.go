package agent

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		says string
		err  error
		want string
		fate fate
	}{
		{"a pawl.yaml that does not load waits for a person", &environments.Problems{}, "PipelineInvalid", stalled},
		{"a pawl.yaml that is too large waits for a person", fmt.Errorf("pawl.yaml: %w", &gitsync.NoContent{Why: "is large"}), "PipelineInvalid", stalled},
		{"a repository that is too large waits for a person", &gitsync.TooLarge{Commit: "abc"}, "TooLarge", stalled},
		{"a commit without pawl.yaml waits for a person", &demands.PipelineMissing{Commit: "abc"}, "PipelineInvalid", stalled},
		{"an empty render waits for a person", &render.Empty{}, "RenderEmpty", stalled},
		{"a right that is missing waits for a person", &drift.UnknownLive{Objects: []drift.Unread{{Why: &drift.NoRight{Err: errors.New("cannot list")}}}}, "LiveUnknown", stalled},
		{"a refusal after something was written is one all the same", &drift.Rejected{Written: true, Problems: []drift.Problem{{}}}, "ApplyRejected", stalled},
		{"an unsigned image waits for a person", &policies.Refusal{Images: []policies.ImageRefusal{{}}}, "ImageRefused", stalled},
		{"a policy that denies waits for a person", &policies.Refusal{Denials: []policies.Denial{{Kind: policies.DeniedByPolicy}}}, "PolicyDenied", stalled},
		{"a rewritten branch is told before all that follows from it", &policies.Refusal{Images: []policies.ImageRefusal{{}}, Denials: []policies.Denial{{Kind: policies.DeniedByHistory}}}, "HistoryRewritten", stalled},
		{"a build that was stopped is told from one that fails", &render.Error{Err: &render.Unfinished{Reason: "time"}}, "RenderUnfinished", stalled},
		{"a registry that is down is asked again soon", &policies.Unavailable{}, "EvidenceUnavailable", retry},
		{"a branch that is gone is looked for again", &gitsync.BranchGone{}, "BranchGone", retry},
		{"pruning that is held waits for a person", &drift.PruneHeld{}, "PruneHeld", stalled},
		{"unless what left cannot be read", &drift.PruneHeld{Unread: []drift.Unread{{}}}, "LiveUnknown", retry},
		{"or what left waits for the target that takes it", &drift.PruneHeld{Handed: []drift.Handed{{}}}, "PruneHeld", retry},
		{"an object of two targets waits for a person", &drift.Conflict{Objects: []drift.Held{{LetsGo: true}, {}}}, "Conflict", stalled},
		{"unless it moves from one to the other", &drift.Conflict{Objects: []drift.Held{{LetsGo: true}}}, "Conflict", retry},
		{"wrapping does not hide the cause", fmt.Errorf("outer: %w", &render.Error{Err: errors.New("x")}), "RenderFailed", stalled},
		{"what nobody knows is tried again", errors.New("odd"), "Failed", retry},
	} {
		if got := classify(c.err); got.name != c.want || got.fate != c.fate {
			t.Errorf("%s: got %s (%d), want %s (%d)", c.says, got.name, got.fate, c.want, c.fate)
		}
	}
}

func TestEveryReasonIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile(`(?m)^## (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1])
	}
	known := []string{reasonUnhealthy, reasonGateFailed, reasonUnwatched}
	for _, r := range reasons {
		known = append(known, r.name)
	}
	for _, name := range known {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/reasons.md has no section %s", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(known, name) {
			t.Errorf("docs/reasons.md has a section %s, which no error leads to", name)
		}
	}
}
