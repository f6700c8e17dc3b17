package drift

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// smallInventory is how many objects a target may have for the share that goes
// not to be looked at: of few, one is a lot.
const smallInventory = 3

// PruneWord is what a commit says is meant to be deleted:
// "Pawl-Prune: production/web 41".
type PruneWord struct {
	Commit  gitsync.Commit
	Target  string // as people type it
	Objects int    // exactly so many
	// Text is the word as it was written, for one that cannot be read or that
	// contradicts another one of its commit: it counts for nothing.
	Text string
	Bad  bool
}

// PruneWordsFor finds what commits, the newest first, say about a target. Only
// the newest that speaks of it counts. What cannot be read may speak of any.
func PruneWordsFor(target environments.Target, commits []gitsync.CommitInfo) (PruneWord, bool) {
	for _, c := range commits {
		var found []PruneWord
		for _, w := range c.Words {
			if w.Key != "prune" {
				continue
			}
			if word := readPruneWord(c.Commit, w.Value); word.Bad || word.Target == target.String() {
				found = append(found, word)
			}
		}
		if len(found) == 0 {
			continue
		}
		// A word that can be read goes before others; two of these must agree.
		slices.SortStableFunc(found, func(a, b PruneWord) int {
			switch {
			case a.Bad == b.Bad:
				return 0
			case a.Bad:
				return 1
			}
			return -1
		})
		word := found[0]
		for _, other := range found[1:] {
			if !word.Bad && !other.Bad && other.Objects != word.Objects {
				word.Bad, word.Text = true, word.Text+`" and "`+other.Text
				break
			}
		}
		return word, true
	}
	return PruneWord{}, false
}

func readPruneWord(commit gitsync.Commit, value string) PruneWord {
	word := PruneWord{Commit: commit, Text: "Pawl-Prune: " + value, Bad: true}
	parts := strings.Fields(value)
	if len(parts) != 2 {
		return word
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n < 1 || strconv.Itoa(n) != parts[1] {
		return word
	}
	word.Target, word.Objects, word.Bad = parts[0], n, false
	return word
}

// PruneHeld says what was not deleted though it left the release, and why.
// Everything else of the release was applied.
type PruneHeld struct {
	Target environments.Target
	// Objects wait, in the order in which they would be deleted.
	Objects []ObjectID
	// Protected are those among them that are never deleted without a word.
	Protected []ObjectID
	// Of is how many objects the target had, and Limit the share in percent that
	// may go unasked; Over says that more would.
	Of, Limit int
	Over      bool
	// Gone says that they left because the target's overlay did.
	Gone bool
	// Unread are objects that left the release as well and could not be read.
	// Then nothing at all is deleted, whatever was said.
	Unread []Unread
	// Handed left as well and wait for other targets to take them over; Unrendered
	// wait as these cannot be rendered, and may want them.
	Handed, Unrendered []Handed
	// Said is the word that was found and does not fit; nil if there is none.
	Said *PruneWord
}

// Error is what people read: what would happen, and that it did not.
func (h *PruneHeld) Error() string {
	if len(h.Unread) > 0 {
		return (&UnknownLive{Target: h.Target, Objects: h.Unread}).what("nothing was pruned, as %s that left the release could not be read")
	}
	var b strings.Builder
	switch n := len(h.Objects); {
	case n == 0:
		fmt.Fprintf(&b, "%s: %d of the objects that left were not deleted:", h.Target, len(h.Handed)+len(h.Unrendered))
	case h.Gone:
		fmt.Fprintf(&b, "%s: its overlay is gone, and nothing is deleted for that alone.", h.Target)
	case h.Over:
		fmt.Fprintf(&b, "%s: %d of %d objects would be pruned (limit %d %%). Nothing was.", h.Target, n, h.Of, h.Limit)
	case n == 1:
		fmt.Fprintf(&b, "%s: 1 protected object would be pruned. It was not.", h.Target)
	default:
		fmt.Fprintf(&b, "%s: %d protected objects would be pruned. They were not.", h.Target, n)
	}
	if h.Said != nil {
		fmt.Fprintf(&b, " %s says %q", h.Said.Commit.Short(), policies.Clip(h.Said.Text, 200))
		if h.Said.Bad {
			b.WriteString(", which says nothing that counts.")
		} else {
			b.WriteString(", which is another number.")
		}
	}
	for i, id := range h.Protected {
		if i == 10 {
			fmt.Fprintf(&b, "\n  and %d more", len(h.Protected)-i)
			break
		}
		fmt.Fprintf(&b, "\n  %s, %s", id, protection(id))
	}
	for i, o := range slices.Concat(h.Handed, h.Unrendered) {
		if i == 10 {
			fmt.Fprintf(&b, "\n  and %d more", len(h.Handed)+len(h.Unrendered)-i)
			break
		}
		why := "which declares it now and has not taken it over yet"
		if i >= len(h.Handed) {
			why = "which cannot be rendered and may declare it now"
		}
		fmt.Fprintf(&b, "\n  %s waits for %s, %s", o.Object, o.To, why)
	}
	return b.String()
}

// and adds what waits for other targets to what waits for a word. Both may be empty.
func (h *PruneHeld) and(waiting *PruneHeld) *PruneHeld {
	if len(waiting.Handed)+len(waiting.Unrendered) == 0 {
		return h
	}
	if h == nil {
		return waiting
	}
	h.Handed, h.Unrendered = waiting.Handed, waiting.Unrendered
	return h
}

// Passes reports whether what holds the pruning may end without a person's word.
func (h *PruneHeld) Passes() bool {
	return len(h.Unread) > 0 || len(h.Objects) == 0 && len(h.Handed)+len(h.Unrendered) > 0
}

// Word is what to write into a commit's message if it is meant.
func (h *PruneHeld) Word() string {
	return fmt.Sprintf("Pawl-Prune: %s %d", h.Target, len(h.Objects))
}

// Hint says what to do next.
func (h *PruneHeld) Hint() string {
	if len(h.Unread) > 0 {
		return "What cannot be read is never taken for absent. The agent goes on trying."
	}
	if len(h.Objects) == 0 {
		return "Nothing is deleted that another target wants. It ends once that one is applied, or no longer declares the object."
	}
	if h.Gone {
		return fmt.Sprintf("Restore the overlay. If the target is to go for good, say so in a commit: %q.", h.Word())
	}
	return fmt.Sprintf("If this is meant, say so in the commit: %q.", h.Word())
}

func protection(id ObjectID) string {
	if protected[[2]string{id.Group, id.Kind}] {
		return "with all that it holds"
	}
	return "which is marked " + AnnotationPrune + ": " + PruneConfirm
}

// guard takes back the deletions in a plan that need a word and do not have
// the right one. Deletions that were allowed before, and then took longer or
// were cut off, are not counted again.
func guard(s Situation, steps []Step) *PruneHeld {
	h := &PruneHeld{Target: s.Target, Limit: s.MaxPercent}
	var unasked, asked []int
	brought := 0
	left := map[ObjectID]bool{}
	for i, step := range steps {
		live, entry := s.Live[step.Object], s.Inventory.Entries[step.Object]
		if step.Action != Delete && step.Action != Keep {
			continue
		}
		left[step.Object] = true
		switch {
		case live.State == Unknown:
			h.Unread = append(h.Unread, Unread{step.Object, live.Why})
		case step.Action == Keep:
		case live.Terminating || entry.Leaving == LeavingConfirmed:
		case mustConfirm(step.Object, live):
			asked = append(asked, i)
		case entry.going():
		case s.MaxPercent > 0 && !s.GoodAt.IsZero() && live.Created.After(s.GoodAt):
			brought++ // by what came after the release that returns
		default:
			unasked = append(unasked, i)
		}
	}
	h.Of = len(s.Inventory.Entries) - brought
	for id, e := range s.Inventory.Entries {
		if e.going() || s.Live[id].State == Absent && !left[id] && e.UID == "" {
			h.Of-- // going already, or never made
		}
	}
	if len(h.Unread) > 0 {
		for i := range steps {
			if steps[i].Action == Delete {
				steps[i].Action, steps[i].Reason = Keep, "left the release; nothing is pruned while others that left could not be read"
				h.Objects = append(h.Objects, steps[i].Object)
			}
		}
		return h
	}
	h.Over = len(unasked)*100 > s.MaxPercent*h.Of && (h.Of > smallInventory || s.MaxPercent == 0)
	held := slices.Clone(asked)
	if h.Over {
		held = append(held, unasked...)
		slices.Sort(held)
	}
	if len(held) == 0 {
		return nil
	}
	if s.Word != nil && !s.Word.Bad && s.Word.Objects == len(held) {
		for _, i := range held {
			steps[i].Confirmed = true
		}
		return nil
	}
	h.Said = s.Word
	for _, i := range held {
		h.Objects = append(h.Objects, steps[i].Object)
		if slices.Contains(asked, i) {
			h.Protected = append(h.Protected, steps[i].Object)
		}
	}
	for _, i := range held {
		steps[i].Action = Keep
		steps[i].Reason = fmt.Sprintf("left the release; it is deleted once a commit says %q", h.Word())
	}
	return h
}

// mustConfirm reports whether an object is never deleted without a word.
func mustConfirm(id ObjectID, live Live) bool {
	return live.Confirm || protected[[2]string{id.Group, id.Kind}]
}

// protected kinds take other people's data with them when they are deleted.
var protected = map[[2]string]bool{
	{"", "Namespace"}:                                    true,
	{"", "PersistentVolumeClaim"}:                        true,
	{"apiextensions.k8s.io", "CustomResourceDefinition"}: true,
}

// AnnotationPrune, as annotation or label of an object, says that it is only
// deleted by a word. PruneConfirm is its only value.
const (
	AnnotationPrune = "pawl.dev/prune"
	PruneConfirm    = "confirm"
)

// pruneProblem is what is wrong with an object's own word on pruning.
func pruneProblem(id ObjectID, labels, annotations map[string]string) []Problem {
	for field, values := range map[string]map[string]string{"labels": labels, "annotations": annotations} {
		if value, ok := values[AnnotationPrune]; ok && value != PruneConfirm {
			return []Problem{{Object: id, Field: "metadata." + field + "[" + AnnotationPrune + "]", Reason: fmt.Sprintf("%q is not known; write %q, or leave it out", value, PruneConfirm)}}
		}
	}
	return nil
}
