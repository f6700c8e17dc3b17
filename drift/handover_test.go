package drift

import (
	"errors"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/environments"
)

var api = environments.Target{Environment: "production", Application: "api"}

// catalogue 96
func TestDecideOnAnObjectThatMovedAway(t *testing.T) {
	t.Parallel()
	others := func(change func(*Others)) *Others {
		o := &Others{}
		o.Add(api, []ObjectID{web})
		change(o)
		return o
	}
	none := others(func(*Others) {})
	takes := others(func(o *Others) { o.Add(api, []ObjectID{conf}) })
	broken := others(func(o *Others) { o.Unknown = []environments.Target{{Environment: "staging", Application: "bad"}} })
	leaving := func(l Leaving) Entry { return with(entry, func(e *Entry) { e.Leaving = l }) }
	nowTheirs := with(asLeft, func(l *Live) { l.Mark = theirs })
	for name, c := range map[string]struct {
		others *Others
		entry  Entry
		live   Live
		reach  Reach // of other environments
		action Action
		passes bool    // something is held, and that passes by itself
		leaves Leaving // what the inventory says next
	}{
		"nobody looked: deleted":                     {nil, entry, asLeft, Reach{}, Delete, false, LeavingUnasked},
		"nobody wants it: deleted":                   {none, entry, asLeft, Reach{}, Delete, false, LeavingUnasked},
		"another target declares it: handed over":    {takes, entry, asLeft, Reach{}, Keep, true, LeavingHanded},
		"and has not taken it yet: still handed":     {takes, leaving(LeavingHanded), asLeft, Reach{}, Keep, true, LeavingHanded},
		"and has taken it: forgotten":                {takes, leaving(LeavingHanded), nowTheirs, Reach{}, "", false, LeavingHanded},
		"and wants it no more: deleted":              {none, leaving(LeavingHanded), asLeft, Reach{}, Delete, false, LeavingUnasked},
		"its deletion was allowed before: handed":    {takes, leaving(LeavingConfirmed), asLeft, Reach{}, Keep, true, LeavingHanded},
		"it is being deleted already: goes on":       {takes, leaving(LeavingUnasked), with(asLeft, func(l *Live) { l.Terminating = true }), Reach{}, Delete, false, LeavingUnasked},
		"one cannot be rendered: kept":               {broken, entry, asLeft, Reach{}, Keep, true, ""},
		"one that may not have it: deleted":          {broken, entry, asLeft, Reach{Namespaces: []string{"other"}}, Delete, false, LeavingUnasked},
		"handed, and one cannot be rendered: kept":   {broken, leaving(LeavingHanded), asLeft, Reach{}, Keep, true, LeavingHanded},
		"taken by hand, never handed over: kept":     {takes, entry, nowTheirs, Reach{}, Keep, false, ""},
		"there before us: handed over as well":       {takes, with(entry, func(e *Entry) { e.Adopted = true }), asLeft, Reach{}, Keep, true, LeavingHanded},
		"there before us, and nobody wants it: kept": {none, with(entry, func(e *Entry) { e.Adopted = true }), asLeft, Reach{}, Keep, false, ""},
		"handed, and now another agent's: kept":      {takes, leaving(LeavingHanded), with(asLeft, func(l *Live) { l.Mark = MarkFor("other", api) }), Reach{}, Keep, false, LeavingHanded},
		"replaced by another object: not handed":     {takes, entry, with(asLeft, func(l *Live) { l.UID = "other" }), Reach{}, Keep, false, ""},
		"could not be read: kept, and nothing else":  {takes, entry, Live{Why: errors.New("503")}, Reach{}, Keep, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inv := inventoryOf(c.entry, conf)
			plan, err := Decide(Situation{
				Target: production, Mark: ours, MaxPercent: 100, Wanted: wantedOf("wanted", web), Inventory: inv, Others: c.others,
				ReachOf: func(string) Reach { return c.reach }, Live: map[ObjectID]Live{web: {State: Absent}, conf: c.live},
			})
			if err != nil {
				t.Fatal(err)
			}
			var action Action
			if len(plan.Steps) > 1 {
				action = plan.Steps[1].Action
			}
			if action != c.action {
				t.Errorf("got %v, want %q", plan.Steps[1:], c.action)
			}
			if passes := plan.Held != nil && plan.Held.Passes(); passes != c.passes {
				t.Errorf("held is %+v", plan.Held)
			}
			if next, _ := inv.Leave(plan.Steps); next.Entries[conf].Leaving != c.leaves {
				t.Errorf("it leaves %q, want %q", next.Entries[conf].Leaving, c.leaves)
			}
		})
	}
}

// catalogue 96
func TestDecideOnAnObjectOfAnotherTarget(t *testing.T) {
	t.Parallel()
	handed := with(entry, func(e *Entry) { e.Leaving = LeavingHanded })
	declares, gave, unknown := &Others{}, &Others{}, &Others{Unknown: []environments.Target{api}}
	declares.Add(api, []ObjectID{web})
	gave.Add(api, []ObjectID{conf})
	for name, c := range map[string]struct {
		given  map[ObjectID]Entry
		others *Others
		mark   Mark
		taken  bool
		passes bool
	}{
		"it has let go of it: taken over":       {map[ObjectID]Entry{web: handed}, gave, theirs, true, false},
		"it will, once it is applied: waits":    {map[ObjectID]Entry{web: entry}, gave, theirs, false, true},
		"both declare it: refused":              {map[ObjectID]Entry{web: entry}, declares, theirs, false, false},
		"whether it does is not known: refused": {map[ObjectID]Entry{web: entry}, unknown, theirs, false, false},
		"nobody looked: refused":                {nil, nil, theirs, false, false},
		"it let go of another object: waits":    {map[ObjectID]Entry{web: with(handed, func(e *Entry) { e.UID = "gone" })}, gave, theirs, false, true},
		"of another agent: refused":             {map[ObjectID]Entry{web: handed}, gave, MarkFor("other", api), false, false},
		"its inventory was lost: waits":         {nil, gave, theirs, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := Decide(Situation{
				Target: production, Mark: ours, MaxPercent: 100, Wanted: wantedOf("wanted", web), Inventory: inventoryOf(entry), Given: c.given, Others: c.others,
				Live: map[ObjectID]Live{web: with(asLeft, func(l *Live) { l.Mark = c.mark })},
			})
			var conflict *Conflict
			switch {
			case c.taken:
				if err != nil || plan.Steps[0].Action != Configure || !strings.Contains(plan.Steps[0].Reason, "taken over") {
					t.Errorf("got %v, %v", plan.Steps, err)
				}
			case !errors.As(err, &conflict):
				t.Errorf("got %v, %v; want a conflict", plan.Steps, err)
			case conflict.Passes() != c.passes:
				t.Errorf("passes is %v: %v", conflict.Passes(), err)
			}
		})
	}
}

// What is rendered does not know which kinds have a namespace.
func TestOthersDeclareWithOrWithoutANamespace(t *testing.T) {
	t.Parallel()
	id := func(namespace string) ObjectID { return ObjectID{Kind: "Thing", Namespace: namespace, Name: "x"} }
	for _, c := range []struct {
		rendered, live string
		want           bool
	}{{"shop", "shop", true}, {"", "default", true}, {"shop", "", true}, {"", "", true}, {"", "shop", false}, {"other", "shop", false}, {"shop", "default", false}} {
		o := &Others{}
		o.Add(api, []ObjectID{id(c.rendered)})
		if _, got := o.taker(id(c.live)); got != c.want {
			t.Errorf("rendered in %q, live in %q: %v", c.rendered, c.live, got)
		}
	}
}

// One look serves all targets of a cluster, and what a target declares itself
// does not count for it.
func TestOthersAreWithoutTheOneThatAsks(t *testing.T) {
	t.Parallel()
	job := environments.Target{Environment: "production", Application: "job"}
	all := &Others{Unknown: []environments.Target{job}}
	all.Add(api, []ObjectID{web, {Kind: "ClusterRole", Namespace: "as-rendered", Name: "reader"}, {Kind: "ConfigMap", Name: "in-default"}})
	of := func(o *Others) (found []string) {
		for _, id := range []ObjectID{web, {Kind: "ClusterRole", Name: "reader"}, {Kind: "ConfigMap", Namespace: "default", Name: "in-default"}} {
			if to, ok := o.taker(id); ok {
				found = append(found, to.String())
			}
		}
		return found
	}
	if got := of(all.To(job)); len(got) != 3 || len(all.To(job).Unknown) != 0 {
		t.Errorf("another is told of %q, and of unknown %v", got, all.To(job).Unknown)
	}
	if got := of(all.To(api)); len(got) != 0 || len(all.To(api).Unknown) != 1 {
		t.Errorf("it is told of itself: %q, and of unknown %v", got, all.To(api).Unknown)
	}
	if mark := MarkFor("pawl", api); all.To(job).LetsGo(mark, web) || !all.To(job).LetsGo(mark, conf) || all.To(api).LetsGo(mark, conf) {
		t.Error("who lets go of what is told wrongly")
	}
}
