package drift

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/environments"
)

var (
	production = environments.Target{Environment: "production", Application: "web"}
	ours       = MarkFor("pawl", production)
	theirs     = MarkFor("pawl", environments.Target{Environment: "production", Application: "api"})

	web     = ObjectID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}
	conf    = ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "conf"}
	shop    = ObjectID{Kind: "Namespace", Name: "shop"}
	claim   = ObjectID{Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "data"}
	widgets = ObjectID{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "widgets.acme.io"}
)

func wantedOf(digest Digest, ids ...ObjectID) []Wanted {
	var out []Wanted
	for _, id := range ids {
		out = append(out, Wanted{ID: id, GVK: schema.GroupVersionKind{Group: id.Group, Version: "v1", Kind: id.Kind}, Digest: digest})
	}
	return out
}

func inventoryOf(entry Entry, ids ...ObjectID) Inventory {
	inv := Inventory{Target: production.String(), Entries: map[ObjectID]Entry{}}
	for _, id := range ids {
		inv.Entries[id] = entry
	}
	return inv
}

// applied is an entry and the live object as it was left.
var (
	entry  = Entry{Version: "v1", UID: "uid", Desired: "wanted", Applied: "live"}
	asLeft = Live{State: Present, UID: "uid", ResourceVersion: "5", Mark: ours, Applied: "live"}
)

func with[T any](v T, change func(*T)) T { change(&v); return v }

func TestDecideOnOneWantedObject(t *testing.T) {
	t.Parallel()
	known, unknown := inventoryOf(entry, web), inventoryOf(entry)
	for name, c := range map[string]struct {
		inventory Inventory
		live      Live
		mode      environments.DriftMode
		digest    Digest
		want      Step
	}{
		"not there, never seen: created":              {unknown, Live{State: Absent}, "", "wanted", Step{Action: Create, Reason: "not there yet"}},
		"not there though applied: made again":        {known, Live{State: Absent}, "", "wanted", Step{Action: Create, Reason: "was deleted"}},
		"not there, drift reported: left so":          {known, Live{State: Absent}, environments.DriftReport, "wanted", Step{Action: Unchanged, Reason: "was deleted; drift is only reported here"}},
		"not there, but a new release: created":       {known, Live{State: Absent}, environments.DriftReport, "newer", Step{Action: Create, Reason: "not there yet"}},
		"a creation was intended before a crash":      {inventoryOf(Entry{Version: "v1"}, web), Live{State: Absent}, environments.DriftReport, "wanted", Step{Action: Create, Reason: "not there yet"}},
		"a creation was done right before a crash":    {inventoryOf(Entry{Version: "v1"}, web), asLeft, environments.DriftReport, "wanted", Step{Action: Configure, Reason: "differs from the release"}},
		"there and as it was applied: unchanged":      {known, asLeft, "", "wanted", Step{Action: Unchanged}},
		"there, but the release is newer: configured": {known, asLeft, "", "newer", Step{Action: Configure, Reason: "differs from the release"}},
		"changed by hand: put back":                   {known, with(asLeft, func(l *Live) { l.Applied = "edited" }), "", "wanted", Step{Action: Configure, Reason: "was changed"}},
		"changed by hand, drift reported: left so":    {known, with(asLeft, func(l *Live) { l.Applied = "edited" }), environments.DriftReport, "wanted", Step{Action: Unchanged, Reason: "was changed; drift is only reported here"}},
		"changed, reported, and a newer release":      {known, with(asLeft, func(l *Live) { l.Applied = "edited" }), environments.DriftReport, "newer", Step{Action: Configure, Reason: "differs from the release"}},
		"the mark was taken off by hand: put back":    {known, with(asLeft, func(l *Live) { l.Mark = Mark{}; l.Applied = "edited" }), "", "wanted", Step{Action: Configure, Reason: "was changed"}},
		"there before us, nobody's: taken over":       {unknown, Live{State: Present, UID: "x"}, "", "wanted", Step{Action: Configure, Reason: "is there already; taken over"}},
		"ours, but the inventory was lost":            {unknown, asLeft, "", "wanted", Step{Action: Configure, Reason: "differs from the release"}},
		"replaced by a twin that is as applied":       {known, with(asLeft, func(l *Live) { l.UID = "twin" }), "", "wanted", Step{Action: Unchanged}},
		"on its way out: made again when gone":        {known, with(asLeft, func(l *Live) { l.Terminating = true }), "", "wanted", Step{Action: Create, Reason: "is being deleted; made again as soon as it is gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := Decide(Situation{Target: production, Mark: ours, MaxPercent: 100, Mode: c.mode, Wanted: wantedOf(c.digest, web), Inventory: c.inventory, Live: map[ObjectID]Live{web: c.live}})
			if err != nil {
				t.Fatal(err)
			}
			c.want.Object = web
			if diff := cmp.Diff([]Step{c.want}, plan.Steps); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// catalogue 90
// catalogue 93
func TestDecideOnAnObjectThatLeftTheRelease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		id   ObjectID
		e    Entry
		live Live
		want []Step
	}{
		"ours and as we know it: deleted":       {conf, entry, asLeft, []Step{{Object: conf, Action: Delete, Reason: "left the release"}}},
		"edited meanwhile, still ours: deleted": {conf, entry, with(asLeft, func(l *Live) { l.Applied = "edited" }), []Step{{Object: conf, Action: Delete, Reason: "left the release"}}},
		"gone already: nothing to do":           {conf, entry, Live{State: Absent}, nil},
		"created right before a crash: deleted": {conf, Entry{Version: "v1"}, asLeft, []Step{{Object: conf, Action: Delete, Reason: "left the release"}}},
		"unreadable: kept":                      {conf, entry, Live{Why: errors.New("503")}, []Step{{Object: conf, Action: Keep, Reason: "left the release, but could not be read, so it was not deleted: 503"}}},
		"of another target now: kept":           {conf, entry, with(asLeft, func(l *Live) { l.Mark = theirs }), []Step{{Object: conf, Action: Keep, Reason: "left the release, but now belongs to target production/api of agent pawl"}}},
		"without our mark: kept":                {conf, entry, with(asLeft, func(l *Live) { l.Mark = Mark{} }), []Step{{Object: conf, Action: Keep, Reason: "left the release, but no longer bears this target's mark, so it was not deleted"}}},
		"another object of the same name: kept": {conf, entry, with(asLeft, func(l *Live) { l.UID = "other" }), []Step{{Object: conf, Action: Keep, Reason: "left the release, but was replaced by another object of the same name, so it was not deleted"}}},
		"there before us: kept":                 {conf, with(entry, func(e *Entry) { e.Adopted = true }), asLeft, []Step{{Object: conf, Action: Keep, Reason: "left the release, but was there before it was first applied, so it was not deleted; it keeps what was applied"}}},
		"there before us, and a crash: kept":    {conf, Entry{Version: "v1", Adopted: true}, asLeft, []Step{{Object: conf, Action: Keep, Reason: "left the release, but was there before it was first applied, so it was not deleted; it keeps what was applied"}}},
		"a namespace: kept":                     {shop, entry, asLeft, []Step{{Object: shop, Action: Keep, Reason: `left the release; it is deleted once a commit says "Pawl-Prune: production/web 1"`}}},
		"a volume claim: kept":                  {claim, entry, asLeft, []Step{{Object: claim, Action: Keep, Reason: `left the release; it is deleted once a commit says "Pawl-Prune: production/web 1"`}}},
		"a definition: kept":                    {widgets, entry, asLeft, []Step{{Object: widgets, Action: Keep, Reason: `left the release; it is deleted once a commit says "Pawl-Prune: production/web 1"`}}},
		"named in the inventory by hand: kept":  {ObjectID{Group: "apps", Kind: "Deployment", Namespace: "kube-system", Name: "coredns"}, entry, Live{State: Present, UID: "uid"}, []Step{{Object: ObjectID{Group: "apps", Kind: "Deployment", Namespace: "kube-system", Name: "coredns"}, Action: Keep, Reason: "left the release, but no longer bears this target's mark, so it was not deleted"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := Decide(Situation{Target: production, Mark: ours, MaxPercent: 100, Wanted: wantedOf("wanted", web), Inventory: inventoryOf(c.e, c.id), Live: map[ObjectID]Live{web: {State: Absent}, c.id: c.live}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, append([]Step(nil), plan.Steps[1:]...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// catalogue 61
func TestNothingIsDeletedWhereWhatRunsIsOnlyKept(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]Entry{
		"left the release":           entry,
		"its deletion was confirmed": with(entry, func(e *Entry) { e.Leaving = LeavingConfirmed }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := Decide(Situation{Target: production, Mark: ours, MaxPercent: 100, Keeps: true, Wanted: wantedOf("wanted", web), Inventory: inventoryOf(e, conf), Live: map[ObjectID]Live{web: asLeft, conf: asLeft}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Step{{Object: conf, Action: Keep, Reason: "left the release; nothing is deleted until a commit is accepted"}}, plan.Steps[1:]); diff != "" {
				t.Error(diff)
			}
			if plan.Held != nil {
				t.Errorf("held: %v", plan.Held)
			}
		})
	}
}

func TestWhatARollbackDoesNotRestoreIsNamed(t *testing.T) {
	t.Parallel()
	adopted := with(entry, func(e *Entry) { e.Adopted = true })
	for name, c := range map[string]struct {
		e        Entry
		live     Live
		returns  bool
		restored bool
	}{
		"taken over by the release that is left":  {adopted, asLeft, true, false},
		"but a newer release is applied":          {adopted, asLeft, false, true},
		"made by the release that is left":        {entry, asLeft, true, true},
		"taken over, and gone":                    {adopted, Live{State: Absent}, true, true},
		"taken over, and somebody else's by now":  {adopted, with(asLeft, func(l *Live) { l.Mark = theirs }), true, true},
		"taken over, and replaced by another one": {adopted, with(asLeft, func(l *Live) { l.UID = "other" }), true, true},
	} {
		s := Situation{
			Target: production, Mark: ours, MaxPercent: 100, Wanted: wantedOf("wanted", web), Inventory: inventoryOf(entry, web),
			Live: map[ObjectID]Live{web: asLeft, conf: c.live},
		}
		s.Inventory.Entries[conf] = c.e
		if c.returns {
			s.GoodAt = time.Now()
		}
		plan, err := Decide(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(plan.Unrestored) == 0; got != c.restored {
			t.Errorf("%s: not restored is %v", name, plan.Unrestored)
		}
	}
}

func TestWhatWasThereBeforeUsIsAdopted(t *testing.T) {
	t.Parallel()
	unmarked := with(asLeft, func(l *Live) { l.Mark = Mark{} })
	gone := with(entry, func(e *Entry) { e.UID = "gone" })
	adopted := func(e Entry) Entry { e.Adopted = true; return e }
	for name, c := range map[string]struct {
		entry   Entry
		before  Live
		adopts  bool
		adopted bool // once it is written
	}{
		"nobody's and never seen":                     {Entry{}, unmarked, true, true},
		"not there":                                   {Entry{}, Live{State: Absent}, false, false},
		"ours, and the inventory was lost":            {Entry{}, asLeft, false, false},
		"ours, made right before a crash":             {Entry{Version: "v1"}, asLeft, false, false},
		"adopted right before a crash":                {Entry{Version: "v1", Adopted: true}, asLeft, false, true},
		"to be adopted, then deleted, and made by us": {Entry{Version: "v1", Adopted: true}, Live{State: Absent}, false, false},
		"made by somebody after a crash":              {Entry{Version: "v1"}, unmarked, true, true},
		"ours, without its mark":                      {entry, unmarked, false, false},
		"adopted long ago":                            {adopted(entry), asLeft, false, true},
		"adopted, without its mark":                   {adopted(entry), unmarked, false, true},
		"ours, deleted and made by somebody else":     {gone, unmarked, true, true},
		"ours, deleted and restored from a backup":    {gone, asLeft, false, true},
		"ours, deleted and surely remade by us":       {gone, with(asLeft, func(l *Live) { l.Made = true }), false, false},
		"ours, looked at, then deleted and remade":    {gone, with(asLeft, func(l *Live) { l.UID = "gone" }), false, false},
		"ours by another's mark, which was taken off": {gone, with(unmarked, func(l *Live) { l.Made = true }), true, true},
		"adopted, deleted by hand, and made by us":    {adopted(gone), Live{State: Absent}, false, false},
		"adopted, deleted, and made by somebody else": {adopted(gone), unmarked, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.entry.Adopts(c.before); got != c.adopts {
				t.Errorf("Adopts says %v", got)
			}
			if got := c.entry.WrittenOver(c.before, "uid", ours); got != c.adopted {
				t.Errorf("WrittenOver says %v", got)
			}
		})
	}
}

func TestDecideRefuses(t *testing.T) {
	t.Parallel()
	situation := Situation{Target: production, Mark: ours, MaxPercent: 100, Wanted: wantedOf("wanted", web, conf), Inventory: inventoryOf(entry, web, conf, claim)}

	t.Run("an empty release, whatever the inventory", func(t *testing.T) {
		// catalogue 12
		s := situation
		s.Wanted = nil
		plan, err := Decide(s)
		if !errors.Is(err, ErrEmpty) || len(plan.Steps) != 0 {
			t.Errorf("got %v, %v; want ErrEmpty and no step", plan, err)
		}
	})
	t.Run("what was not looked at", func(t *testing.T) {
		s := situation
		s.Live = map[ObjectID]Live{web: asLeft, conf: {Why: errors.New("connection refused")}}
		_, err := Decide(s)
		var unknown *UnknownLive
		if !errors.As(err, &unknown) || len(unknown.Objects) != 1 || unknown.Objects[0].Object != conf {
			t.Errorf("got %v; want the ConfigMap to be unknown", err)
		}
		delete(s.Live, conf)
		if _, err := Decide(s); !errors.As(err, &unknown) {
			t.Errorf("got %v; an object that nobody looked at is unknown", err)
		}
	})
	t.Run("an object of another target", func(t *testing.T) {
		// catalogue 15
		s := situation
		s.Live = map[ObjectID]Live{web: with(asLeft, func(l *Live) { l.Mark = theirs }), conf: asLeft}
		_, err := Decide(s)
		var conflict *Conflict
		if !errors.As(err, &conflict) || len(conflict.Objects) != 1 || !cmp.Equal(conflict.Objects[0], Held{Object: web, By: theirs}) {
			t.Errorf("got %v; want a conflict about the Deployment", err)
		}
	})
}

func TestDecideKeepsTheOrderOfStagesAndPrunesBackwards(t *testing.T) {
	t.Parallel()
	hook := ObjectID{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration", Name: "guard"}
	old := ObjectID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "old"}
	oldConf := ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "old"}
	live := map[ObjectID]Live{old: asLeft, oldConf: asLeft}
	for _, id := range []ObjectID{hook, web, conf, shop, widgets} {
		live[id] = Live{State: Absent}
	}
	plan, err := Decide(Situation{Target: production, Mark: ours, MaxPercent: 100, Wanted: wantedOf("wanted", hook, web, conf, shop, widgets), Inventory: inventoryOf(entry, oldConf, old), Live: live})
	if err != nil {
		t.Fatal(err)
	}
	var got []ObjectID
	for _, s := range plan.Steps {
		got = append(got, s.Object)
	}
	if diff := cmp.Diff([]ObjectID{shop, widgets, conf, web, hook, old, oldConf}, got); diff != "" {
		t.Error(diff)
	}
}

// After a plan was carried out the next one is empty, nothing that is not in
// the inventory is ever deleted, and the same situation gives the same plan.
func TestDecideProperties(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var ids []ObjectID
	for i := range 12 {
		ids = append(ids, ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: fmt.Sprint("c", i)})
	}
	for range 2000 {
		s := Situation{Target: production, Mark: ours, MaxPercent: 100, Inventory: inventoryOf(entry), Live: map[ObjectID]Live{}}
		for _, id := range ids {
			if random.IntN(2) == 0 {
				s.Wanted = append(s.Wanted, wantedOf([]Digest{"wanted", "newer"}[random.IntN(2)], id)...)
			}
			if random.IntN(2) == 0 {
				s.Inventory.Entries[id] = entry
			}
			l := asLeft
			switch random.IntN(5) {
			case 0:
				l = Live{State: Absent}
			case 1:
				l.Applied = "edited"
			case 2:
				l.UID = "other"
			case 3:
				l.Mark = Mark{}
			}
			s.Live[id] = l
		}
		if len(s.Wanted) == 0 {
			continue
		}
		plan, err := Decide(s)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Decide(s)
		if diff := cmp.Diff(plan, again); diff != "" {
			t.Fatal("the same situation gave another plan:", diff)
		}
		for _, step := range plan.Steps {
			if step.Action != Delete {
				continue
			}
			if _, known := s.Inventory.Entries[step.Object]; !known {
				t.Fatalf("%s is deleted and was never in the inventory", step.Object)
			}
			if l := s.Live[step.Object]; l.Mark != ours || l.UID != "uid" {
				t.Fatalf("%s is deleted and is not ours: %+v", step.Object, l)
			}
			s.Live[step.Object] = Live{State: Absent}
			delete(s.Inventory.Entries, step.Object)
		}
		for _, w := range s.Wanted {
			s.Live[w.ID] = asLeft
			s.Inventory.Entries[w.ID] = Entry{Version: "v1", UID: "uid", Desired: w.Digest, Applied: "live"}
		}
		next, err := Decide(s)
		if err != nil {
			t.Fatal(err)
		}
		if n := next.Count(Create) + next.Count(Configure) + next.Count(Delete); n != 0 {
			t.Fatalf("after the plan was carried out, %d steps remain: %v", n, next.Steps)
		}
	}
}

func BenchmarkDecideTenThousand(b *testing.B) {
	s := Situation{Target: production, Mark: ours, MaxPercent: 100, Inventory: inventoryOf(entry), Live: map[ObjectID]Live{}}
	for i := range 10_000 {
		id := ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: fmt.Sprint("c", i)}
		s.Wanted = append(s.Wanted, wantedOf("wanted", id)...)
		s.Inventory.Entries[id] = entry
		s.Live[id] = asLeft
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decide(s); err != nil {
			b.Fatal(err)
		}
	}
}
