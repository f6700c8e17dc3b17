package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/agent"
)

func TestTheTableSaysWhoseTurnItIs(t *testing.T) {
	t.Parallel()
	object := "ConfigMap shop/a"
	for name, c := range map[string]struct {
		target agent.TargetStatus
		want   string
	}{
		"at work":         {agent.TargetStatus{Stage: "rendering", State: "working"}, "◐ rendering"},
		"healthy":         {agent.TargetStatus{Stage: "healthy", State: "healthy"}, "● healthy"},
		"to be mended":    {agent.TargetStatus{Stage: "failed", State: "stalled"}, "✗ stalled"},
		"tried again":     {agent.TargetStatus{Stage: "retrying", State: "retrying"}, "! retrying"},
		"lacks something": {agent.TargetStatus{Stage: "retrying", State: "waiting"}, "! waiting"},
		"drift that is refused": {
			agent.TargetStatus{Stage: "healthy", State: "healthy", Drift: []agent.DriftStatus{{Object: object, Error: "putting back " + object + ": forbidden"}}},
			"● healthy  drift: putting back ConfigMap shop/a: forbidden",
		},
		"what admission changed": {
			agent.TargetStatus{Stage: "healthy", State: "healthy", Drift: []agent.DriftStatus{{Object: object, Error: "data.k is declared as 1 and became 2"}}},
			"● healthy  drift of ConfigMap shop/a: data.k is declared as 1 and became 2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.target.Application, c.target.Images = "web", []string{}
			var out strings.Builder
			writeStatus(&out, agent.Status{Environments: []agent.EnvironmentStatus{{Name: "dev", Targets: []agent.TargetStatus{c.target}}}}, time.Now())
			_, row, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
			if !strings.HasSuffix(row, c.want) {
				t.Errorf("got %q; want %q at its end", row, c.want)
			}
		})
	}
}
