package agent

import (
	"context"
	"slices"
	"testing"

	"github.com/pawl-dev/pawl/drift"
)

// catalogue 96
func TestATargetIsToldWhatTheOthersDeclare(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		other := targetOf("staging", "web")
		var asked *drift.Others
		w.prunes = func(terms drift.Terms) *drift.PruneHeld {
			others, err := terms.Others(context.Background())
			if err != nil {
				t.Error(err)
			}
			asked = others
			return nil
		}
		nothing := drift.ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "none-has-it"}
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		if asked == nil || len(asked.Unknown) > 0 || !asked.LetsGo(drift.MarkFor("", other), nothing) {
			t.Errorf("it is told %+v", asked)
		}
		if asked.LetsGo(drift.MarkFor("", web), nothing) {
			t.Error("it is told of itself")
		}
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("c")), file("web", "staging"): "resources: [gone.yaml]\n"})
		if !slices.Contains(asked.Unknown, other) || asked.LetsGo(drift.MarkFor("", other), nothing) {
			t.Errorf("one cannot be rendered, and it is told %+v", asked)
		}
	})
}
