package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// commit is what each of two targets of one agent declares.
type commit struct {
	w        *world
	from, to environments.Target
	declared map[environments.Target][]string
}

func newCommit(w *world, from, to []string) commit {
	c := commit{w: w, from: environments.Target{Environment: "staging", Application: "a"}, to: environments.Target{Environment: "production", Application: "b"}}
	c.declared = map[environments.Target][]string{c.from: from, c.to: to}
	return c
}

// apply brings the commit to one of its targets.
func (c commit) apply(t environments.Target) (drift.Applied, error) {
	c.w.t.Helper()
	others := func(context.Context) (*drift.Others, error) {
		found := &drift.Others{}
		for other, documents := range c.declared {
			switch {
			case other == t:
			case len(documents) == 0: // its overlay is gone
				found.Add(other, nil)
			default:
				found.Add(other, drift.IDsOf(c.w.verifiedFor(other, documents...).Release().Objects))
			}
		}
		return found, nil
	}
	return c.w.cluster.Apply(context.Background(), c.w.verifiedFor(t, c.declared[t]...), drift.Terms{Environment: environments.Environment{Prune: pruneAll}, Others: others})
}

func (c commit) applied(t environments.Target) drift.Applied {
	c.w.t.Helper()
	applied, err := c.apply(t)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return applied
}

// undeleted fails if the agent asked for a deletion since.
func (w *world) undeleted(since func() []string) {
	w.t.Helper()
	if deleted := since(); len(deleted) > 0 {
		w.t.Errorf("deleted: %v", deleted)
	}
}

// deletions are the objects whose deletion the agent asks for from now on.
func (w *world) deletions() func() []string {
	mark := w.mark()
	return func() (names []string) {
		for _, e := range w.requestsSince(mark) {
			if strings.HasPrefix(e.Verb, "delete") && e.Namespace != w.own {
				names = append(names, e.Name)
			}
		}
		return names
	}
}

// Two targets claim one object. It stays that of the one that has it, also if it is
// deleted while no agent runs and the other one comes first.
//
// catalogue 15
func TestAnObjectThatIsGoneIsStillWhoseItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := newCommit(w, []string{configMap("a"), configMap("both")}, []string{configMap("b")})
	first.applied(first.from)
	first.applied(first.to)
	w.cluster.Close()
	w.delete("ConfigMap/both")
	w.start()
	if _, err := w.cluster.Accepted(t.Context()); err != nil { // as the agent begins
		t.Fatal(err)
	}
	claimed := newCommit(w, []string{configMap("a"), configMap("both")}, []string{configMap("b"), configMap("both")})
	var conflict *drift.Conflict
	if _, err := claimed.apply(claimed.to); !errors.As(err, &conflict) || conflict.Objects[0].By.Target != "staging_a" {
		t.Errorf("got %v", err)
	}
	claimed.applied(claimed.from)
	if got := w.get("ConfigMap/both").GetLabels()[drift.LabelTarget]; got != "staging_a" {
		t.Errorf("it is %s's", got)
	}

	// Once it is let go of it may be made by the other one, there or not.
	w.cluster.Close()
	w.delete("ConfigMap/both")
	w.start()
	moved := newCommit(w, []string{configMap("a")}, []string{configMap("b"), configMap("both")})
	moved.applied(moved.to)
	if got := w.get("ConfigMap/both").GetLabels()[drift.LabelTarget]; got != "production_b" {
		t.Errorf("it is %s's", got)
	}
}

// catalogue 96
func TestAnObjectMovesFromOneTargetToAnother(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"the old one first", "the new one first"} {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarts %v", order, restarts), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				next := func() {
					if restarts {
						w.restart()
					}
				}
				before := newCommit(w, []string{configMap("moved", "k", "1"), configMap("a")}, []string{configMap("b")})
				before.applied(before.from)
				before.applied(before.to)
				uid := w.get("ConfigMap/moved").GetUID()
				deletions := w.deletions()

				after := newCommit(w, []string{configMap("a")}, []string{configMap("moved", "k", "2"), configMap("b")})
				if order == "the new one first" {
					next()
					_, err := after.apply(after.to)
					var conflict *drift.Conflict
					if !errors.As(err, &conflict) || !conflict.Passes() || w.get("ConfigMap/moved").GetLabels()["pawl.dev/target"] != "staging_a" {
						t.Fatalf("got %v; want it to wait", err)
					}
				}
				next()
				if applied := after.applied(after.from); applied.Held == nil || !applied.Held.Passes() || len(applied.Held.Handed) != 1 {
					t.Fatalf("held is %+v", applied.Held)
				}
				next()
				after.applied(after.to)
				next()
				if applied := after.applied(after.from); applied.Held != nil || len(applied.Steps) != 1 {
					t.Errorf("the old one still has %v, %+v", actions(applied.Steps), applied.Held)
				}
				moved := w.get("ConfigMap/moved")
				if moved.GetUID() != uid || moved.GetLabels()["pawl.dev/target"] != "production_b" || moved.Object["data"].(map[string]any)["k"] != "2" {
					t.Errorf("it is now %v", moved.Object)
				}
				w.undeleted(deletions)

				// It is the new one's for good: put back by it, and pruned by it.
				after.applied(after.to)
				w.edit("ConfigMap/moved", `{"data":{"k":"3"}}`)
				w.eventually("the new one to put it back", func() (bool, string) {
					k := w.get("ConfigMap/moved").Object["data"].(map[string]any)["k"]
					return k == "2", fmt.Sprint(k)
				})
				last := newCommit(w, []string{configMap("a")}, []string{configMap("b")})
				last.applied(last.to)
				if w.lookup("ConfigMap/moved") != nil {
					t.Error("it was not pruned")
				}
			})
		}
	}
}

// catalogue 96
func TestAnObjectStaysWhileItsNewTargetIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := newCommit(w, []string{configMap("moved", "k", "1"), configMap("a")}, []string{configMap("b")})
	before.applied(before.from)
	before.applied(before.to)
	moved := w.get("ConfigMap/moved")
	deletions := w.deletions()
	after := newCommit(w, []string{configMap("a")}, []string{configMap("moved", "k", "2"), strings.Replace(configMap("b"), "\ndata:", "\ndato: {}", 1)})
	for range 3 { // however often it is tried
		if applied := after.applied(after.from); applied.Held == nil || !strings.Contains(applied.Held.Error(), "moved waits for production/b") {
			t.Errorf("held is %+v", applied.Held)
		}
		if _, err := after.apply(after.to); err == nil {
			t.Fatal("the new one was applied")
		}
		w.restart()
	}
	if now := w.get("ConfigMap/moved"); now.GetResourceVersion() != moved.GetResourceVersion() {
		t.Errorf("it is now %v", now.Object)
	}
	w.undeleted(deletions)
	// Where the commit cannot even be rendered, nobody knows what it wants.
	w.settings.Prune = pruneAll
	unknown := func(context.Context) (*drift.Others, error) {
		return &drift.Others{Unknown: []environments.Target{after.to}}, nil
	}
	applied, err := w.cluster.Apply(t.Context(), w.verifiedFor(after.from, configMap("a")), drift.Terms{Environment: w.settings, Others: unknown})
	if err != nil || applied.Held == nil || !applied.Held.Passes() {
		t.Errorf("held is %+v, %v", applied.Held, err)
	}
	w.undeleted(deletions)
	// Wanted by nobody it goes, by the one whose it still is.
	last := newCommit(w, []string{configMap("a")}, []string{configMap("b")})
	last.applied(last.to)
	last.applied(last.from)
	if w.lookup("ConfigMap/moved") != nil {
		t.Error("it was not pruned, though nobody declares it")
	}
}

// catalogue 15, 96
func TestAnObjectOfTwoTargetsStaysWithTheFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	both := newCommit(w, []string{configMap("both", "k", "1"), configMap("a")}, []string{configMap("both", "k", "2"), configMap("b")})
	both.applied(both.from)
	version := w.get("ConfigMap/both").GetResourceVersion()
	for range 3 {
		_, err := both.apply(both.to)
		var conflict *drift.Conflict
		if !errors.As(err, &conflict) || conflict.Passes() {
			t.Fatalf("got %v", err)
		}
		both.applied(both.from)
		w.restart()
	}
	if now := w.get("ConfigMap/both").GetResourceVersion(); now != version || w.lookup("ConfigMap/b") != nil {
		t.Error("something was written")
	}
}

// catalogue 96
func TestAnObjectThatMovesWithinATargetIsNotTouched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"), configMap("moved", "k", "1"), configMap("b", "k", "1"))
	mark := w.mark()
	w.apply(configMap("moved", "k", "1"), configMap("b", "k", "1"), configMap("a", "k", "1")) // from another file or base
	for _, e := range w.writesSince(mark) {
		if e.Namespace != w.own {
			t.Errorf("needless: %s", e)
		}
	}
}

// A target whose overlay is gone lets go of what others declare, and of nothing
// else.
//
// catalogue 96
func TestWhatIsLeftOfATargetGoesToThoseWhoDeclareIt(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarts %v", restarts), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			next := func() {
				if restarts {
					w.restart()
				}
			}
			c := newCommit(w, []string{configMap("moved", "k", "1"), configMap("stays", "k", "1")}, []string{configMap("b")})
			c.applied(c.from)
			c.applied(c.to)
			uid := w.get("ConfigMap/moved").GetUID()
			deletions := w.deletions()

			next()
			c.declared = map[environments.Target][]string{c.from: nil, c.to: {configMap("moved", "k", "2"), configMap("b")}}
			others := &drift.Others{}
			others.Add(c.to, drift.IDsOf(w.verifiedFor(c.to, c.declared[c.to]...).Release().Objects))
			leave := func(wantLeft, wantWaiting int) {
				t.Helper()
				left, err := w.cluster.Leave(t.Context(), c.from, drift.Terms{Others: func(context.Context) (*drift.Others, error) { return others, nil }})
				if err != nil || left.Objects != wantLeft || len(left.Waiting) != wantWaiting {
					t.Fatalf("left %+v, %v", left, err)
				}
			}
			if _, err := c.apply(c.to); err == nil {
				t.Fatal("it was taken before it was let go of")
			}
			leave(2, 1)
			next()
			leave(2, 1)
			c.applied(c.to)
			next()
			leave(1, 0)
			if moved := w.get("ConfigMap/moved"); moved.GetUID() != uid || moved.GetLabels()["pawl.dev/target"] != "production_b" {
				t.Errorf("it is now %v", moved.Object)
			}
			if restarts { // what no release declares is not kept after one
				return
			}
			n := len(w.drifts())
			w.edit("ConfigMap/stays", `{"data":{"k":"by hand"}}`)
			w.eventually("what nobody took to be kept still", func() (bool, string) {
				return len(w.drifts()) > n, ""
			})
			others.Add(c.to, drift.IDsOf(w.verifiedFor(c.to, configMap("moved"), configMap("b"), configMap("stays", "k", "1")).Release().Objects))
			leave(1, 1)
			c.declared[c.to] = []string{configMap("moved", "k", "2"), configMap("b"), configMap("stays", "k", "1")}
			c.applied(c.to)
			leave(0, 0)
			w.undeleted(deletions)
		})
	}
}
