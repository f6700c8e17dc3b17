package agent

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
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
		w.leaves = func(of environments.Target, terms drift.Terms) (drift.Left, error) {
			others, err := terms.Others(context.Background())
			if err != nil {
				t.Error(err)
			}
			if !others.LetsGo(drift.MarkFor("", targetOf("staging", "web")), drift.ObjectID{Kind: "ConfigMap", Name: "x"}) {
				t.Errorf("%s is told %+v", of, others)
			}
			if tries++; tries < 3 {
				return drift.Left{Objects: 1, Waiting: []drift.Handed{{Object: shop, To: targetOf("dev", "shop")}}}, nil
			}
			return drift.Left{}, nil
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

// catalogue 96
func TestATargetThatIsGoneIsDeletedByTheWordOfACommit(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		var objects []drift.ObjectID
		for _, name := range []string{"a", "b", "c"} {
			objects = append(objects, drift.ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: name})
		}
		pending := objects[:1]
		w.leaves = func(of environments.Target, terms drift.Terms) (drift.Left, error) {
			switch {
			case terms.Word == nil || terms.Word.Objects != 3:
				return drift.Left{Objects: 3, Held: &drift.PruneHeld{Target: of, Objects: objects, Of: 3, Gone: true, Said: terms.Word}}, nil
			case len(pending) > 0:
				left := drift.Left{Objects: 1, Pending: pending}
				pending = nil
				return left, nil
			}
			return drift.Left{}, nil
		}
		w.push(map[string]string{file("web", "dev"): ""})
		p := w.state(web).Problem
		w.expect("the reason", p.Reason, "OverlayMissing")
		w.expect("the hint", p.Hint, `Restore the overlay. If the target is to go for good, say so in a commit: "Pawl-Prune: dev/web 3".`)

		w.words = []gitsync.Word{{Key: "prune", Value: "dev/web 2"}}
		w.push(nil)
		if p := w.state(web).Problem; !strings.Contains(p.Text, `says "Pawl-Prune: dev/web 2", which is another number.`) {
			t.Errorf("got %q", p.Text)
		}

		w.words = []gitsync.Word{{Key: "prune", Value: "dev/web 3"}}
		w.push(nil)
		w.expect("while one is not gone yet", w.state(web).Stage, promote.StageRetrying)
		w.pass(time.Minute)
		if state, _ := w.agent.board.environment("dev"); len(state.Targets) != 0 {
			t.Errorf("the board has %+v", state.Targets)
		}
	})
}

// What one of them asks first serves the others, too.
//
// catalogue 96
func TestATargetThatIsGoneLetsGoAlsoIfItAskedFirst(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.push(map[string]string{file("web", "dev"): "", file("shop", "dev"): overlay(hexOf("a"))})
		p, cluster := w.agent.current.Load(), w.agent.edges.Clusters["dev"]
		w.agent.declared.Clear()
		as := func(target environments.Target) *drift.Others {
			others, err := w.agent.others(context.Background(), job{revision: p.Revision, repository: p, target: target, declared: p.ImageFields()}, cluster)
			if err != nil {
				t.Fatal(err)
			}
			return others
		}
		object := drift.ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "moved"}
		if as(web).LetsGo(drift.MarkFor("", web), object) {
			t.Error("it is told of itself")
		}
		if !as(targetOf("dev", "shop")).LetsGo(drift.MarkFor("", web), object) {
			t.Error("what is gone does not let go")
		}
	})
}
