package demands

import (
	"context"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// brought is a cluster that remembers what its targets were brought to.
type brought []drift.Accepted

func (b brought) Accepted(context.Context, ...environments.Target) ([]drift.Accepted, error) {
	return b, nil
}
func (b brought) Note(context.Context, drift.Accepted) error { return nil }

// A newcomer is compared with what its environment was brought to before it came,
// and with nothing older once it was gone and came again: every commit between
// was judged by itself.
func TestANewcomerIsComparedWithWhatWasThereBeforeIt(t *testing.T) {
	t.Parallel()
	web, late := environments.Target{Environment: "dev", Application: "web"}, environments.Target{Environment: "dev", Application: "late"}
	at := func(commit gitsync.Commit, minute int) brought {
		return brought{
			{Target: web, Commit: commit, Release: "sha256:web", At: time.Unix(int64(minute)*60, 0)},
			{Target: environments.Target{Environment: "staging", Application: "web"}, Commit: "other", At: time.Unix(1e6, 0)},
		}
	}
	g := NewGatherer(Edges{}, "main", time.Now)
	for _, step := range []struct {
		says    string
		targets []environments.Target
		cluster brought
		want    gitsync.Commit
	}{
		{"the newcomer comes", []environments.Target{web, late}, at("1", 1), "1"},
		{"it waits while others go on", []environments.Target{web, late}, at("2", 2), "1"},
		{"it is gone", []environments.Target{web}, at("3", 3), ""},
		{"and comes again", []environments.Target{web, late}, at("4", 4), "4"},
	} {
		g.Came("dev", step.targets, step.cluster)
		got, err := g.LastAccepted(t.Context(), step.cluster, late, gitsync.Revision{})
		if err != nil || got.Commit != step.want || got.Release != "" {
			t.Errorf("%s: compared with %+v, %v; want commit %q", step.says, got, err, step.want)
		}
	}
	if n := len(g.newcomers.before["dev"]); n != 1 {
		t.Errorf("%d newcomers are remembered; want 1", n)
	}
}
