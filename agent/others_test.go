package agent

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/promote"
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

// A folder that is renamed is a target that goes and another that comes.
//
// catalogue 96
func TestATargetWhoseObjectsOthersTookIsForgotten(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		shop := drift.ObjectID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}
		tries := 0
		w.leaves = func(of environments.Target, others *drift.Others) (int, []drift.Handed, error) {
			if !others.LetsGo(drift.MarkFor("", targetOf("staging", "web")), drift.ObjectID{Kind: "ConfigMap", Name: "x"}) {
				t.Errorf("%s is told %+v", of, others)
			}
			if tries++; tries < 3 {
				return 1, []drift.Handed{{Object: shop, To: targetOf("dev", "shop")}}, nil
			}
			return 0, nil, nil
		}
		w.push(map[string]string{file("web", "dev"): "", file("shop", "dev"): overlay(hexOf("a"))})
		w.expect("while they have not come for it", w.state(web).Stage, promote.StageRetrying)
		w.pass(time.Minute)
		w.expect("tries", tries, 3)
		state, _ := w.agent.board.environment("dev")
		if len(state.Targets) != 1 || state.Targets[0].Target != targetOf("dev", "shop") {
			t.Errorf("the board has %+v", state.Targets)
		}
		w.push(map[string]string{file("shop", "dev"): overlay(hexOf("b"))})
		if state, _ := w.agent.board.environment("dev"); len(state.Targets) != 1 || tries != 3 {
			t.Errorf("at the next commit the board has %+v", state.Targets)
		}
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		if state, _ := w.agent.board.environment("dev"); len(state.Targets) != 2 {
			t.Errorf("once it is back the board has %+v", state.Targets)
		}
	})
}
