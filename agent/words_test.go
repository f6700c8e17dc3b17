package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
)

// catalogue 13
func TestPruningIsHeldUntilACommitSaysThatItIsMeant(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.prunes = func(terms drift.Terms) *drift.PruneHeld {
			if terms.Word != nil && terms.Word.Objects == 6 {
				return nil
			}
			return &drift.PruneHeld{Target: web, Objects: make([]drift.ObjectID, 6), Of: 10, Limit: 30, Over: true, Said: terms.Word}
		}
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.expect("the stage", w.state(web).Stage, promote.StagePruneHeld)
		w.expect("the reason", w.state(web).Problem.Reason, "PruneHeld")
		w.expect("applies", w.count("dev/web 2"), 1)
		if checks := w.checks("dev"); last(checks) != "2 in_progress" {
			t.Errorf("the check went %q; want no success", checks)
		}
		w.pass(time.Minute) // its health follows with the next word on progress
		w.checks("dev")
		w.pass(time.Hour) // it is looked at again, silently
		w.expect("an hour of tries", w.checks("dev"), []string{})
		if w.count("dev/web 2") < 2 {
			t.Error("it is never looked at again; somebody may delete by hand what waits")
		}
		state, _ := w.agent.board.environment("dev")
		title := promote.Check(state, time.Now()).Title
		if want := `dev/web: 6 of 10 objects would be pruned (limit 30 %). Nothing was. If this is meant, say so in the commit: "Pawl-Prune: dev/web 6".`; title != want {
			t.Errorf("the check says\n%s; want\n%s", title, want)
		}

		// A commit that changes nothing but has the word.
		w.words = []gitsync.Word{{Key: "prune", Value: "dev/web 6"}}
		w.push(nil)
		w.expect("the last word", last(w.checks("dev")), "3 success")
	})
}

// The word counts wherever it stands between what was accepted last and the head.
func TestTheWordMayStandInAnEarlierCommitOfThePush(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		var said []string
		w.prunes = func(terms drift.Terms) *drift.PruneHeld {
			if terms.Word == nil {
				said = append(said, "nothing")
				return &drift.PruneHeld{Target: web, Of: 4}
			}
			said = append(said, string(terms.Word.Commit))
			return nil
		}
		w.mu.Lock() // pushed together with the next one
		w.words = []gitsync.Word{{Key: "prune", Value: "dev/web 6"}}
		w.commits++
		w.revision(w.history[len(w.history)-1].Tree)
		w.mu.Unlock()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("c"))}) // the word is used up
		if got := strings.Join(said, " "); !strings.HasPrefix(got, "2 nothing") {
			t.Errorf("the words were of the commits %s; want 2, then nothing", got)
		}
	})
}
