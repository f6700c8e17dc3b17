package agent

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// BenchmarkBoard is what a thousand targets cost that go through all stages.
func BenchmarkBoard(b *testing.B) {
	var targets []environments.Target
	for i := range 1000 {
		targets = append(targets, targetOf("dev", fmt.Sprint("app", i)))
	}
	images := []render.Image{{Repository: "ghcr.io/acme/web", Digest: hexOf("a"), Reference: "ghcr.io/acme/web@" + hexOf("a")}}
	for b.Loop() {
		a := New(Edges{}, Options{Log: zerolog.Nop()})
		a.reporter = newReporter(func(context.Context, promote.Report) error { return nil }, time.Now, zerolog.Nop())
		a.board.begin("dev", "1", targets, promote.Problem{})
		for _, stage := range []promote.Stage{promote.StageRendering, promote.StageVerifying, promote.StageApplying, promote.StageWaiting, promote.StageHealthy} {
			for _, t := range targets {
				a.board.update(t, "1", func(s *promote.TargetState) { s.Stage, s.Images = stage, images })
			}
		}
	}
}
