package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// unreliably opens a way to the plane for the agent alone.
func unreliably(t testing.TB, plane *controlplane.ControlPlane, seed uint64) (*controlplane.Unreliable, func(*cluster.Options)) {
	t.Helper()
	way, err := plane.Unreliable(seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = way.Close() })
	return way, func(o *cluster.Options) { o.Config = way.Config(o.Config) }
}

// number reads an environment variable.
func number(t testing.TB, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// released is what the ConfigMaps of a release say, by name.
type released map[string]string

func (r released) documents() []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(r)) {
		found = append(found, configMap(name, "k", r[name]))
	}
	return found
}

// lacking says what of the release, or beyond it, is live; "" if it is all.
func (w *world) lacking(r released, foreign ...string) string {
	list, err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	there := map[string]bool{}
	for _, o := range list.Items {
		name := o.GetName()
		want, wanted := r[name]
		data, _ := o.Object["data"].(map[string]any)
		switch {
		case name == "kube-root-ca.crt" || slices.Contains(foreign, name):
		case !wanted:
			return name + " is left over"
		case data["k"] != want || o.GetLabels()[drift.LabelTarget] == "" || o.GetDeletionTimestamp() != nil:
			return fmt.Sprintf("%s is %v %v, want %s", name, data, o.GetLabels(), want)
		}
		there[name] = true
	}
	for name := range r {
		if !there[name] {
			return name + " is missing"
		}
	}
	return ""
}

// A scenario of PAWL_SCENARIO_ROUNDS rounds, drawn from PAWL_SCENARIO_SEED.
//
// catalogue 109
func TestScenarioOfABadConnection(t *testing.T) {
	t.Parallel()
	const short = 2
	rounds := number(t, "PAWL_SCENARIO_ROUNDS", short)
	seed := 1
	if rounds != short {
		seed = int(time.Now().UnixNano() % 1e9)
	}
	seed = number(t, "PAWL_SCENARIO_SEED", seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to play it again: PAWL_SCENARIO_SEED=%d PAWL_SCENARIO_ROUNDS=%d go test ./drift/cluster -run '^%s$'", seed, rounds, t.Name())
		}
	})
	way, through := unreliably(t, controlplane.Shared(t), uint64(seed))
	w := newWorld(t, through)
	percent := 100
	w.settings = environments.Environment{Drift: environments.DriftCorrect, Prune: environments.Prune{MaxPercent: &percent}}
	draw := rand.New(rand.NewPCG(uint64(seed), 110))
	foreign := map[string]types.UID{}
	for _, text := range []string{
		configMap("foreign", "k", "theirs"),
		strings.Replace(configMap("of-another-agent", "k", "theirs"), "metadata: {", "metadata: {labels: {pawl.dev/agent: mallory, pawl.dev/target: production_web}, ", 1),
	} {
		o := w.create(text)
		foreign[o.GetName()] = o.GetUID()
	}
	bad := controlplane.Faults{Refused: 30, Cut: 4, Lost: 4, Slow: 1, Latency: 5 * time.Second, Gone: 30, WatchLife: 2 * time.Second}

	for round := range rounds {
		release := released{}
		for i := range 20 {
			if draw.IntN(3) > 0 || i == 0 {
				release[fmt.Sprint("c", i)] = fmt.Sprintf("%d in round %d", draw.IntN(2), round)
			}
		}
		mark, before := w.mark(), way.Requests()
		way.Set(bad)
		attempts := 0
		verified := w.verified(release.documents()...)
		w.eventually("the release to be applied", func() (bool, string) {
			time.Sleep(time.Duration(min(attempts, 5)) * 50 * time.Millisecond) // as whoever applies would back off
			attempts++
			_, err := w.cluster.Apply(t.Context(), verified, drift.Terms{Environment: w.settings})
			return err == nil, fmt.Sprint(err)
		})
		edits := 0
		client, _ := w.at("ConfigMap/")
		for name := range release {
			switch draw.IntN(3) {
			case 0:
				w.edit("ConfigMap/"+name, `{"data":{"k":"by hand"}}`)
			case 1:
				w.delete("ConfigMap/" + name)
			default:
				continue
			}
			edits++
		}
		w.eventually("all to be put back", func() (bool, string) {
			lacking := w.lacking(release, slices.Collect(maps.Keys(foreign))...)
			return lacking == "", lacking
		})
		way.Set(controlplane.Faults{})
		w.eventually("the inventory to be what is live", func() (bool, string) {
			inv, err := w.stored()
			if err != nil || len(inv.Entries) != len(release) {
				return false, fmt.Sprintf("%d entries, %v", len(inv.Entries), err)
			}
			for id, entry := range inv.Entries {
				o, err := client.Get(t.Context(), id.Name, metav1.GetOptions{})
				if err != nil || string(o.GetUID()) != entry.UID || entry.Leaving != "" {
					return false, fmt.Sprintf("%+v, %v", entry, err)
				}
			}
			return true, ""
		})
		requests := way.Requests() - before
		writes := map[string]int{}
		for _, e := range w.writesSince(mark) {
			_, wanted := release[e.Name]
			switch {
			case e.Namespace == w.own:
			case e.Verb == "delete" && wanted:
				t.Errorf("in round %d deleted, though released: %s", round, e)
			case foreign[e.Name] != "":
				t.Errorf("in round %d not ours: %s", round, e)
			case e.Verb != "delete":
				writes[e.Name]++
			}
		}
		for name, n := range writes {
			// One for the release and one for each edit, and again whenever the
			// answer was lost. A hot loop would make hundreds.
			if n > 12 {
				t.Errorf("in round %d %s was written %d times", round, name, n)
			}
		}
		if limit := 60*attempts + 40*edits + 300; requests > limit {
			t.Errorf("in round %d %d requests; that is no backing off (limit %d)", round, requests, limit)
		}
		t.Logf("round %d: %d objects, %d attempts, %d edits, %d requests", round, len(release), attempts, edits, requests)
		mark = w.mark()
		w.eventually("an apply that has nothing to do", func() (bool, string) {
			_, err := w.cluster.Apply(t.Context(), verified, drift.Terms{Environment: w.settings})
			return err == nil, fmt.Sprint(err)
		})
		for _, e := range w.writesSince(mark) {
			t.Errorf("in round %d written although nothing differs: %s", round, e)
		}
	}
	for name, uid := range foreign {
		if o := w.lookup("ConfigMap/" + name); o == nil || o.GetUID() != uid || o.Object["data"].(map[string]any)["k"] != "theirs" {
			t.Errorf("%s is %v", name, o)
		}
	}
}

// A write of the inventory whose answer is lost is our own when it is found:
// what is put back is noted without waiting for the next release.
//
// catalogue 109
func TestAnInventoryWhoseAnswerIsLostIsStillOurs(t *testing.T) {
	t.Parallel()
	way, through := unreliably(t, controlplane.Shared(t), 1)
	var lose atomic.Int32
	way.Lose = func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/pawl-inventory-") && lose.Add(-1) >= 0
	}
	w := newWorld(t, through)
	w.apply(configMap("a", "k", "1"))
	lose.Store(1)
	w.delete("ConfigMap/a")
	w.eventually("the new uid to be in the inventory", func() (bool, string) {
		a := w.lookup("ConfigMap/a")
		inv, err := w.stored()
		return err == nil && a != nil && lose.Load() <= 0 && inv.Entries[drift.IDOf(a)].UID == string(a.GetUID()), fmt.Sprintf("%+v, %v", inv, err)
	})
	w.delete("ConfigMap/a") // and once more, from what is known now
	w.eventually("the newer uid to be in the inventory", func() (bool, string) {
		a := w.lookup("ConfigMap/a")
		inv, err := w.stored()
		return err == nil && a != nil && inv.Entries[drift.IDOf(a)].UID == string(a.GetUID()), fmt.Sprintf("%+v, %v", inv, err)
	})
}

// What was made again and not noted yet is ours all the same, and goes with the
// next release that leaves it out.
//
// catalogue 89
func TestWhatWasMadeAgainIsPrunedThoughThatWasNotNotedYet(t *testing.T) {
	t.Parallel()
	way, through := unreliably(t, controlplane.Shared(t), 1)
	var closed atomic.Bool
	way.Before = func(r *http.Request) {
		if closed.Load() && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/pawl-inventory-") {
			panic(http.ErrAbortHandler)
		}
	}
	w := newWorld(t, through)
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
	closed.Store(true)
	w.delete("ConfigMap/a")
	w.noticed()
	closed.Store(false)
	w.apply(configMap("b", "k", "1"))
	if w.lookup("ConfigMap/a") != nil {
		t.Error("it was taken for somebody else's")
	}
}

// A repair that was refused before is not made while its object leaves: it
// would be left over, ours and in no inventory.
//
// catalogue 89
func TestWhatLeavesIsNotMadeAgainMeanwhile(t *testing.T) {
	t.Parallel()
	way, through := unreliably(t, controlplane.Shared(t), 1)
	var closed atomic.Bool
	var w *world
	way.Before = func(r *http.Request) {
		name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		switch tries := r.URL.Query().Has("dryRun"); {
		case r.Method != http.MethodPatch || !closed.Load():
		case tries: // the release is about to be applied; repairs get through now
			closed.Store(false)
			for deadline := time.Now().Add(2 * time.Second); w.lookup("ConfigMap/a") == nil && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
		case name == "a":
			panic(http.ErrAbortHandler)
		}
	}
	w = newWorld(t, through)
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"), configMap("c", "k", "1"))
	closed.Store(true)
	w.delete("ConfigMap/a")
	w.noticed()
	w.apply(configMap("b", "k", "2"), configMap("c", "k", "2"))
	if a := w.lookup("ConfigMap/a"); a != nil {
		t.Errorf("it was made again: %v", a)
	}
}

// replace makes another object under the name of one, with all its labels: for
// whoever looks at names and labels it is the same.
func (w *world) replace(object string) types.UID {
	w.t.Helper()
	before := w.get(object)
	w.delete(object)
	copied := before.DeepCopy()
	copied.SetUID("")
	copied.SetResourceVersion("")
	copied.SetManagedFields(nil)
	copied.SetCreationTimestamp(metav1.Time{})
	client, _ := w.at(object)
	made, err := client.Create(context.Background(), copied, metav1.CreateOptions{FieldManager: "kubectl-create"})
	if err != nil {
		w.t.Fatal(err)
	}
	return made.GetUID()
}

// catalogue 110
func TestAReplacedObjectIsNotDeletedOnAnOldView(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*world, *controlplane.Unreliable, func(method string, do func())){
		"replaced while the watch lies": func(w *world, way *controlplane.Unreliable, _ func(string, func())) {
			w.t.Cleanup(way.HoldWatches())
			w.replace("ConfigMap/a")
		},
		"replaced between the look and the deletion": func(w *world, way *controlplane.Unreliable, when func(string, func())) {
			w.t.Cleanup(way.HoldWatches())
			when(http.MethodDelete, func() { w.replace("ConfigMap/a") })
		},
		"changed hands between the look and the deletion": func(w *world, way *controlplane.Unreliable, when func(string, func())) {
			w.t.Cleanup(way.HoldWatches())
			when(http.MethodDelete, func() { w.edit("ConfigMap/a", `{"metadata":{"labels":{"pawl.dev/target":"production_api"}}}`) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			way, through := unreliably(t, controlplane.Shared(t), 1)
			var mu sync.Mutex
			hooks := map[string]func(){}
			way.Before = func(r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/configmaps/a") {
					return
				}
				mu.Lock()
				hook := hooks[r.Method]
				delete(hooks, r.Method)
				mu.Unlock()
				if hook != nil {
					hook()
				}
			}
			w := newWorld(t, through)
			w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
			mark := w.mark()
			struck := false
			before(w, way, func(method string, do func()) {
				mu.Lock()
				defer mu.Unlock()
				hooks[method] = func() { struck = true; do() }
			})
			applied := w.apply(configMap("b", "k", "1"))
			mu.Lock()
			left := len(hooks)
			mu.Unlock()
			if left > 0 {
				t.Error("nothing was deleted at all")
			}
			if w.lookup("ConfigMap/a") == nil {
				t.Errorf("it was deleted: %v", actions(applied.Steps))
			}
			for _, e := range w.requestsSince(mark) {
				if e.Verb == "delete" && e.Code != http.StatusConflict {
					t.Errorf("%s (struck: %t)", e, struck)
				}
			}
		})
	}
}

// What changes while nothing is seen is put back once something is, though the
// API server no longer knows where the watch was.
//
// catalogue 110
func TestAWatchThatIsForgottenLosesNothing(t *testing.T) {
	t.Parallel()
	way, through := unreliably(t, controlplane.Shared(t), 1)
	w := newWorld(t, through)
	release := released{"a": "1", "b": "1", "c": "1"}
	w.apply(release.documents()...)
	release = released{"a": "1", "b": "1"}
	mark := w.mark()
	// Every watch ends at once, and none may go on from where it was.
	way.Set(controlplane.Faults{Gone: 100, WatchLife: 50 * time.Millisecond})
	for range 5 {
		w.edit("ConfigMap/a", `{"data":{"k":"by hand"}}`)
		w.delete("ConfigMap/b")
		w.eventually("both to be put back", func() (bool, string) {
			lacking := w.lacking(released{"a": "1", "b": "1", "c": "1"})
			return lacking == "", lacking
		})
	}
	w.apply(release.documents()...)
	if lacking := w.lacking(release); lacking != "" {
		t.Error(lacking)
	}
	for _, e := range w.writesSince(mark) {
		if e.Verb == "delete" && e.Name != "c" {
			t.Errorf("deleted: %s", e)
		}
	}
}

// catalogue 110
func TestARestartOfTheAPIServerAndEtcdUnderLoad(t *testing.T) {
	t.Parallel()
	plane := ownPlane(t)
	w := newWorldOn(t, plane)
	percent := 100
	w.settings = environments.Environment{Drift: environments.DriftCorrect, Prune: environments.Prune{MaxPercent: &percent}}
	releaseOf := func(version int) released {
		r := released{}
		for i := range 30 {
			if i%5 != version%5 { // each version leaves out others
				r[fmt.Sprint("c", i)] = fmt.Sprint(version)
			}
		}
		return r
	}
	w.apply(releaseOf(0).documents()...)
	foreign := w.create(configMap("foreign", "k", "theirs")).GetUID()
	mark := w.mark()

	load, stop := context.WithCancel(t.Context())
	var people sync.WaitGroup
	people.Go(func() { // who edits and deletes by hand whatever is there, answered or not
		for i := 0; load.Err() == nil; i++ {
			client, _ := w.at("ConfigMap/")
			name := fmt.Sprint("c", i%30)
			if i%3 == 0 {
				_ = client.Delete(load, name, metav1.DeleteOptions{})
			} else {
				_, _ = client.Patch(load, name, types.MergePatchType, []byte(`{"data":{"k":"by hand"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	version := 0
	people.Go(func() {
		for next := 1; load.Err() == nil; next++ {
			v := w.verified(releaseOf(next).documents()...)
			for load.Err() == nil {
				version = next
				if _, err := w.cluster.Apply(load, v, drift.Terms{Environment: w.settings}); err == nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	})
	for _, end := range []func() error{plane.Kill, func() error { return nil }} { // kill -9, and a clean stop
		m := w.mark()
		w.eventually("some writes", func() (bool, string) { n := len(w.writesSince(m)); return n > 50, fmt.Sprint(n) })
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := plane.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m := w.mark()
	w.eventually("writes after the restarts", func() (bool, string) { n := len(w.writesSince(m)); return n > 50, fmt.Sprint(n) })
	stop()
	people.Wait()

	last := releaseOf(version)
	v := w.verified(last.documents()...)
	w.eventually("the last release to be applied", func() (bool, string) {
		_, err := w.cluster.Apply(t.Context(), v, drift.Terms{Environment: w.settings})
		return err == nil, fmt.Sprint(err)
	})
	w.eventually("all to be as in the last release", func() (bool, string) {
		lacking := w.lacking(last, "foreign")
		return lacking == "", lacking
	})
	if o := w.lookup("ConfigMap/foreign"); o == nil || o.GetUID() != foreign {
		t.Errorf("the foreign object is %v", o)
	}
	for _, e := range w.writesSince(mark) {
		if e.Namespace == w.namespace && e.Name == "foreign" {
			t.Errorf("not ours: %s", e)
		}
		if e.Code == 0 {
			continue // cut off: the API server did not get to note what was asked
		}
		if e.Verb == "delete" && (!strings.Contains(string(e.RequestObject), `"uid"`) || !strings.Contains(string(e.RequestObject), `"resourceVersion"`)) {
			t.Errorf("whatever has that name now: %s %s", e, e.RequestObject)
		}
	}
}
