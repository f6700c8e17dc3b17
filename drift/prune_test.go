package drift

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

func commit(id string, words ...string) gitsync.CommitInfo {
	c := gitsync.CommitInfo{Commit: gitsync.Commit(strings.Repeat(id, 40))}
	for _, w := range words {
		key, value, _ := strings.Cut(w, ": ")
		c.Words = append(c.Words, gitsync.Word{Key: key, Value: value})
	}
	return c
}

// catalogue 13
func TestWhatCommitsSayAboutPruning(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		commits []gitsync.CommitInfo
		want    string
	}{
		"nothing":                             {[]gitsync.CommitInfo{commit("a"), commit("b", "override: production/web 4")}, "nothing"},
		"a word":                              {[]gitsync.CommitInfo{commit("a", "prune: production/web 41")}, "41 by aaaaaaa"},
		"a word for somebody else":            {[]gitsync.CommitInfo{commit("a", "prune: production/api 41")}, "nothing"},
		"for the whole environment":           {[]gitsync.CommitInfo{commit("a", "prune: production 41")}, "nothing"},
		"an earlier commit's":                 {[]gitsync.CommitInfo{commit("a"), commit("b", "prune: production/web 41")}, "41 by bbbbbbb"},
		"the newest counts":                   {[]gitsync.CommitInfo{commit("a", "prune: production/web 7"), commit("b", "prune: production/web 41")}, "7 by aaaaaaa"},
		"among others":                        {[]gitsync.CommitInfo{commit("a", "prune: production/api 3", "prune: production/web 41")}, "41 by aaaaaaa"},
		"twice the same":                      {[]gitsync.CommitInfo{commit("a", "prune: production/web 41", "prune: production/web 41")}, "41 by aaaaaaa"},
		"two that contradict each other":      {[]gitsync.CommitInfo{commit("a", "prune: production/web 41", "prune: production/web 7")}, "bad"},
		"no number":                           {[]gitsync.CommitInfo{commit("a", "prune: production/web all")}, "bad"},
		"no target":                           {[]gitsync.CommitInfo{commit("a", "prune: 41")}, "bad"},
		"too much":                            {[]gitsync.CommitInfo{commit("a", "prune: production/web 41 yes")}, "bad"},
		"none":                                {[]gitsync.CommitInfo{commit("a", "prune: production/web 0")}, "bad"},
		"less than none":                      {[]gitsync.CommitInfo{commit("a", "prune: production/web -1")}, "bad"},
		"another way to write it":             {[]gitsync.CommitInfo{commit("a", "prune: production/web +41")}, "bad"},
		"a good one beside one for who knows": {[]gitsync.CommitInfo{commit("a", "prune: everything", "prune: production/web 41")}, "41 by aaaaaaa"},
	} {
		word, ok := PruneWordsFor(production, c.commits)
		got := "nothing"
		switch {
		case ok && word.Bad:
			got = "bad"
		case ok:
			got = fmt.Sprintf("%d by %s", word.Objects, word.Commit.Short())
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// catalogue 13, 93, 103
func TestHowMuchMayGoAtOnce(t *testing.T) {
	t.Parallel()
	marked := with(asLeft, func(l *Live) { l.Confirm = true })
	said := func(n int) *PruneWord {
		return &PruneWord{Commit: "77be1c2", Target: "production/web", Objects: n, Text: fmt.Sprintf("Pawl-Prune: production/web %d", n)}
	}
	for name, c := range map[string]struct {
		of, leave int // objects in the inventory, and ordinary ones among them that leave
		special   map[ObjectID]Live
		leaving   Leaving // of all that leave
		percent   int
		word      *PruneWord
		deleted   int
		held      string // what people read; nothing is held if it is empty
	}{
		"within the limit":             {of: 10, leave: 3, percent: 30, deleted: 3},
		"one too many":                 {of: 10, leave: 4, percent: 30, held: `production/web: 4 of 10 objects would be pruned (limit 30 %). Nothing was. If this is meant, say so in the commit: "Pawl-Prune: production/web 4".`},
		"as users see it":              {of: 52, leave: 41, percent: 30, held: `production/web: 41 of 52 objects would be pruned (limit 30 %). Nothing was. If this is meant, say so in the commit: "Pawl-Prune: production/web 41".`},
		"with the word":                {of: 52, leave: 41, percent: 30, word: said(41), deleted: 41},
		"with a word for fewer":        {of: 52, leave: 41, percent: 30, word: said(40), held: `Nothing was. 77be1c2 says "Pawl-Prune: production/web 40", which is another number. If`},
		"with a word for more":         {of: 52, leave: 41, percent: 30, word: said(42), held: "another number"},
		"with a word that is none":     {of: 52, leave: 41, percent: 30, word: &PruneWord{Commit: "77be1c2", Text: "Pawl-Prune: all", Bad: true}, held: `77be1c2 says "Pawl-Prune: all", which says nothing that counts. If this is meant`},
		"a small inventory":            {of: 3, leave: 2, percent: 30, deleted: 2},
		"no longer small":              {of: 4, leave: 2, percent: 30, held: "2 of 4"},
		"nothing without a word":       {of: 3, leave: 1, percent: 0, held: "1 of 3 objects would be pruned (limit 0 %)"},
		"anything":                     {of: 10, leave: 9, percent: 100, deleted: 9},
		"allowed before, and cut off":  {of: 10, leave: 9, percent: 30, leaving: LeavingUnasked, deleted: 9},
		"a claim":                      {of: 10, leave: 1, percent: 100, special: map[ObjectID]Live{claim: asLeft}, deleted: 1, held: "production/web: 1 protected object would be pruned. It was not.\n  PersistentVolumeClaim shop/data, with all that it holds If this is meant, say so in the commit: \"Pawl-Prune: production/web 1\"."},
		"all that is protected":        {of: 10, percent: 30, special: map[ObjectID]Live{claim: asLeft, shop: asLeft, widgets: asLeft, conf: marked}, held: "4 protected objects would be pruned. They were not.\n  ConfigMap shop/conf, which is marked pawl.dev/prune: confirm\n  PersistentVolumeClaim shop/data, with all that it holds\n  Namespace shop, with"},
		"a marked object":              {of: 10, percent: 30, special: map[ObjectID]Live{conf: marked}, held: "ConfigMap shop/conf, which is marked pawl.dev/prune: confirm"},
		"protected, with the word":     {of: 10, leave: 1, percent: 30, special: map[ObjectID]Live{claim: asLeft, shop: asLeft}, word: said(2), deleted: 3},
		"too many and protected":       {of: 10, leave: 4, percent: 30, special: map[ObjectID]Live{claim: asLeft}, word: said(4), held: "5 of 10"},
		"both with the word":           {of: 10, leave: 4, percent: 30, special: map[ObjectID]Live{claim: asLeft}, word: said(5), deleted: 5},
		"protected, allowed before":    {of: 10, percent: 30, leaving: LeavingConfirmed, special: map[ObjectID]Live{claim: asLeft}, deleted: 1},
		"protected since it was begun": {of: 10, percent: 30, leaving: LeavingUnasked, special: map[ObjectID]Live{conf: marked}, held: "1 protected object"},
		"deleted by somebody else":     {of: 10, percent: 30, special: map[ObjectID]Live{claim: with(asLeft, func(l *Live) { l.Terminating = true })}, deleted: 1},
		"not ours any more":            {of: 10, percent: 30, special: map[ObjectID]Live{claim: with(asLeft, func(l *Live) { l.Mark = Mark{} })}},
		"one that cannot be read":      {of: 10, leave: 1, percent: 100, special: map[ObjectID]Live{conf: {Why: errors.New("503")}}, word: said(1), held: "production/web: nothing was pruned, as a live object that left the release could not be read:\n  ConfigMap shop/conf: 503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Situation{Target: production, Mark: ours, Wanted: wantedOf("wanted", web), Inventory: inventoryOf(entry, web), Live: map[ObjectID]Live{web: asLeft}, MaxPercent: c.percent, Word: c.word}
			leave := func(id ObjectID, live Live) {
				s.Inventory.Entries[id] = with(entry, func(e *Entry) { e.Leaving = c.leaving })
				s.Live[id] = live
			}
			for id, live := range c.special {
				leave(id, live)
			}
			for i := range c.leave {
				leave(ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: fmt.Sprint("left", i)}, asLeft)
			}
			for i := len(s.Inventory.Entries); i < c.of; i++ {
				id := ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: fmt.Sprint("stays", i)}
				s.Wanted = append(s.Wanted, wantedOf("wanted", id)...)
				s.Inventory.Entries[id], s.Live[id] = entry, asLeft
			}
			plan, err := Decide(s)
			if err != nil {
				t.Fatal(err)
			}
			if n := plan.Count(Delete); n != c.deleted {
				t.Errorf("%d are deleted, want %d: %v", n, c.deleted, plan.Steps)
			}
			got := ""
			if plan.Held != nil {
				got = plan.Held.Error() + " " + plan.Held.Hint()
			}
			if (got == "") != (c.held == "") || !strings.Contains(got, c.held) {
				t.Errorf("held: %q\nwant:  %q", got, c.held)
			}
		})
	}
}

// What was made after a release was good goes when that release returns, however
// much it is; what was there before, and what is protected, is guarded as ever.
//
// catalogue 120
func TestWhatCameAfterTheReleaseThatReturnsIsNotCounted(t *testing.T) {
	t.Parallel()
	good := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		goodAt, created time.Time
		percent         int
		deleted, held   int
	}{
		"made since":                  {good, good.Add(time.Minute), 30, 6, 1},
		"there before":                {good, good.Add(-time.Minute), 30, 0, 0}, // and stays
		"of unknown age":              {good, time.Time{}, 30, 0, 7},
		"nothing returns":             {time.Time{}, good.Add(time.Minute), 30, 0, 7},
		"nothing goes without a word": {good, good.Add(time.Minute), 0, 0, 7},
	} {
		s := Situation{Target: production, Mark: ours, Wanted: wantedOf("wanted", web), Inventory: inventoryOf(entry, web, claim), Live: map[ObjectID]Live{web: asLeft}, MaxPercent: c.percent, GoodAt: c.goodAt}
		left := with(asLeft, func(l *Live) { l.Created = c.created })
		s.Live[claim] = left
		for i := range 6 {
			id := ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: fmt.Sprint("left", i)}
			s.Inventory.Entries[id], s.Live[id] = entry, left
		}
		plan, err := Decide(s)
		if err != nil {
			t.Fatal(err)
		}
		held := 0
		if plan.Held != nil {
			held = len(plan.Held.Objects)
		}
		if plan.Count(Delete) != c.deleted || held != c.held {
			t.Errorf("%s: %d are deleted and %d held; want %d and %d", name, plan.Count(Delete), held, c.deleted, c.held)
		}
	}
}

// What was decided is stored before the first deletion, and then needs neither
// word nor share when it goes on.
func TestADeletionThatIsCutOffGoesOn(t *testing.T) {
	t.Parallel()
	s := Situation{Target: production, Mark: ours, Wanted: wantedOf("wanted", web), Inventory: inventoryOf(entry, web, conf, claim, shop), MaxPercent: 30,
		Live: map[ObjectID]Live{web: asLeft, conf: asLeft, claim: asLeft, shop: asLeft}, Word: &PruneWord{Objects: 2}} // the ConfigMap needs none
	plan, err := Decide(s)
	if err != nil || plan.Held != nil || plan.Count(Delete) != 3 {
		t.Fatal(plan, err)
	}
	stored, changed := s.Inventory.Leave(plan.Steps)
	if !changed || stored.Entries[shop].Leaving != LeavingConfirmed || stored.Entries[web].Leaving != "" {
		t.Errorf("got %+v", stored.Entries)
	}
	if _, again := stored.Leave(plan.Steps); again {
		t.Error("the same is stored twice")
	}
	content, err := stored.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if s.Inventory, _, err = DecodeInventory(content, nil); err != nil {
		t.Fatal(err)
	}
	s.Live[conf], s.Word = Live{State: Absent}, nil // one went before the crash
	plan, err = Decide(s)
	if err != nil || plan.Held != nil || plan.Count(Delete) != 2 {
		t.Error(plan, err)
	}
	// What comes back into the release is as protected as before.
	back, grown := s.Inventory.Intend(wantedOf("wanted", web, claim), nil)
	if !grown || back.Entries[claim].Leaving != "" || back.Entries[shop].Leaving != LeavingConfirmed {
		t.Errorf("got %+v", back.Entries)
	}
}

// catalogue 25
func TestOnlyOneWordOnPruningIsKnown(t *testing.T) {
	t.Parallel()
	for where, problem := range map[string]string{
		"labels: {pawl.dev/prune: disabled}":     `metadata.labels[pawl.dev/prune]: "disabled" is not known; write "confirm", or leave it out`,
		"annotations: {pawl.dev/prune: 'false'}": `metadata.annotations[pawl.dev/prune]: "false" is not known; write "confirm", or leave it out`,
		"annotations: {pawl.dev/prune: confirm}": "",
		"labels: {pawl.dev/prune: confirm}":      "",
	} {
		_, err := Want([]*unstructured.Unstructured{object(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop, "+where+"}\n")}, ours)
		got := ""
		var refused *Rejected
		if errors.As(err, &refused) {
			got = refused.Problems[0].Field + ": " + refused.Problems[0].Reason
		}
		if diff := cmp.Diff(problem, got); diff != "" {
			t.Errorf("%s: %s", where, diff)
		}
	}
}

// Nobody's text breaks what people read.
func FuzzPruneWords(f *testing.F) {
	f.Add("production/web 41")
	f.Add("production/web \x00 41")
	f.Add("99999999999999999999 1")
	f.Fuzz(func(t *testing.T, value string) {
		word, ok := PruneWordsFor(environments.Target{Environment: "production", Application: "web"}, []gitsync.CommitInfo{commit("a", "prune: "+value)})
		if ok && !word.Bad && (word.Objects < 1 || strings.Join(strings.Fields(value), " ") != fmt.Sprintf("production/web %d", word.Objects)) {
			t.Errorf("%q was read as %+v", value, word)
		}
	})
}
