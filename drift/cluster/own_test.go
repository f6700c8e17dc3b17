package cluster_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
)

func (w *world) ownSecrets() dynamic.ResourceInterface {
	return w.dynamic.Resource(resources["Secret"]).Namespace(w.own)
}

// keeping is a world with a target that is kept, held, and has two good releases.
func keeping(t *testing.T, change ...func(*cluster.Options)) *world {
	t.Helper()
	w := newWorld(t, change...)
	w.apply(configMap("a", "k", "2"))
	w.remember(w.good(configMap("a", "k", "1")))
	w.remember(w.good(configMap("a", "k", "2")))
	if err := w.cluster.Hold(t.Context(), w.target, &drift.Hold{Release: "sha256:bad"}); err != nil {
		t.Fatal(err)
	}
	return w
}

// partSecrets are the Secrets that hold releases, by what k is in them.
func (w *world) partSecrets() map[string]*unstructured.Unstructured {
	w.t.Helper()
	list, err := w.ownSecrets().List(context.Background(), metav1.ListOptions{LabelSelector: "pawl.dev/good-part-of=" + w.agent})
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string]*unstructured.Unstructured{}
	for i := range list.Items {
		text, _, _ := unstructured.NestedString(list.Items[i].Object, "data", "release.json.gz.part")
		content, _ := base64.StdEncoding.DecodeString(text)
		value := "damaged"
		if g, err := drift.DecodeGood(content); err == nil {
			value, _, _ = unstructured.NestedString(g.Release.Objects[0].Object, "data", "k")
		}
		found[value] = &list.Items[i]
	}
	return found
}

// meanwhile does something while no agent runs.
func (w *world) meanwhile(do func()) {
	w.t.Helper()
	w.cluster.Close()
	do()
	w.restart()
	w.apply(configMap("a", "k", "2"))
}

// wipe deletes a Secret of the agent.
func (w *world) wipe(name string) {
	w.t.Helper()
	if err := w.ownSecrets().Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// damage puts another Secret in the place of one that holds a release.
func (w *world) damage(part *unstructured.Unstructured) {
	w.t.Helper()
	w.wipe(part.GetName())
	other := part.DeepCopy()
	other.SetUID("")
	other.SetResourceVersion("")
	other.SetManagedFields(nil)
	_ = unstructured.SetNestedField(other.Object, base64.StdEncoding.EncodeToString([]byte("damaged")), "data", "release.json.gz.part")
	if _, err := w.ownSecrets().Create(context.Background(), other, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) { // the agent may be faster
		w.t.Fatal(err)
	}
}

// tended are the notices about the agent's own objects so far.
func (w *world) tended() (found []drift.Own) {
	for _, n := range w.all() {
		if n.Own != nil && n.Target == w.target {
			found = append(found, *n.Own)
		}
	}
	return found
}

// stillGood waits until just these releases are named, kept whole, and nothing
// else is there, also for the next process.
func (w *world) stillGood(values ...string) {
	w.t.Helper()
	slices.Sort(values)
	w.eventually(fmt.Sprintf("%v to be kept", values), func() (bool, string) {
		var there []string
		for value := range w.partSecrets() {
			there = append(there, value)
		}
		slices.Sort(there)
		named := -1
		if index := w.index(); index != nil {
			text, _, _ := unstructured.NestedString(index.Object, "data", "index.json")
			content, _ := base64.StdEncoding.DecodeString(text)
			named = strings.Count(string(content), `"commit"`)
		}
		return slices.Equal(there, values) && named == len(values), fmt.Sprintf("%v, and %d are named", there, named)
	})
	w.cluster.Close()
	w.start()
	got := w.goods()
	slices.Sort(got)
	if diff := cmp.Diff(values, got); diff != "" {
		w.t.Error(diff)
	}
}

func (w *world) stillHeld() {
	w.t.Helper()
	if h, err := w.cluster.Held(w.t.Context(), w.target); err != nil || !h.Held("sha256:bad") {
		w.t.Errorf("held is %+v, %v", h, err)
	}
}

// catalogue 120
func TestWhatSomebodyDoesToGoodReleasesIsUndone(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*world){
		"the index is deleted": func(w *world) { w.wipe(w.index().GetName()) },
		"the index is emptied": func(w *world) {
			if _, err := w.ownSecrets().Patch(t.Context(), w.index().GetName(), types.MergePatchType, []byte(`{"data":{"index.json":"e30="}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		},
		"the index loses its label": func(w *world) {
			if _, err := w.ownSecrets().Patch(t.Context(), w.index().GetName(), types.MergePatchType, []byte(`{"metadata":{"labels":null},"data":{"index.json":"e30="}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		},
		"the release that runs is deleted": func(w *world) { w.wipe(w.partSecrets()["2"].GetName()) },
		"an older release is deleted":      func(w *world) { w.wipe(w.partSecrets()["1"].GetName()) },
		"a release is damaged":             func(w *world) { w.damage(w.partSecrets()["1"]) },
		"all is deleted": func(w *world) {
			if err := w.ownSecrets().DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := keeping(t)
			w.eventually("the releases to be seen", func() (bool, string) { return w.cluster.SeesParts(2), "" })
			spoil(w)
			w.eventually("that to be told", func() (bool, string) { return len(w.tended()) > 0, fmt.Sprint(w.all()) })
			for _, o := range w.tended() {
				if len(o.Written) == 0 || len(o.Lost) > 0 || o.Err != nil {
					t.Errorf("told is %+v", o)
				}
			}
			w.stillGood("1", "2")
			w.stillHeld()
		})
	}
}

// catalogue 120
func TestAReleaseThatCannotBeHadAgainIsNotPromised(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*world){
		"deleted": func(w *world) { w.wipe(w.partSecrets()["2"].GetName()) },
		"damaged": func(w *world) { w.damage(w.partSecrets()["2"]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := keeping(t)
			w.meanwhile(func() { spoil(w) }) // no event shows what was in it
			goods, err := w.cluster.Good(t.Context(), w.target)
			for _, g := range goods {
				if g.Release.Digest == w.good(configMap("a", "k", "2")).Release.Digest {
					t.Error("what was damaged may return")
				}
			}
			if err != nil && !drift.AllLost(err) {
				t.Error(err)
			}
			w.eventually("the loss to be told", func() (bool, string) {
				told := w.tended()
				return len(told) == 1 && len(told[0].Lost) == 1 && strings.Contains(told[0].Lost[0].Error(), "is lost"), fmt.Sprint(told)
			})
			w.stillGood("1")
			w.stillHeld()
			// The one that runs is remembered anew as soon as it is seen to be healthy.
			w.apply(configMap("a", "k", "2"))
			w.remember(w.good(configMap("a", "k", "2")))
			w.stillGood("1", "2")
		})
	}
}

// catalogue 120
func TestALookAtWhatWasDeletedJustNowLosesNothing(t *testing.T) {
	t.Parallel()
	w := keeping(t, func(o *cluster.Options) { o.Fights = drift.FightTerms{Corrections: 100, Within: time.Minute} })
	for range 10 {
		var name string
		w.eventually("the releases to be there and seen", func() (bool, string) {
			part, there := w.partSecrets()["1"]
			if there {
				name = part.GetName()
			}
			return there && w.cluster.SeesParts(2), ""
		})
		w.wipe(name)
		if _, err := w.cluster.Good(t.Context(), w.target); drift.AllLost(err) {
			t.Fatal(err)
		}
	}
	w.stillGood("1", "2")
}

// catalogue 120
func TestALostReleaseIsRememberedAnewRightAfterARestart(t *testing.T) {
	t.Parallel()
	w := keeping(t)
	w.meanwhile(func() { w.wipe(w.partSecrets()["2"].GetName()) })
	w.remember(w.good(configMap("a", "k", "2"))) // whichever comes first
	w.stillGood("1", "2")
}

// catalogue 120
func TestAnIndexIsMadeOfTheReleasesThatAreThere(t *testing.T) {
	t.Parallel()
	w := keeping(t)
	w.meanwhile(func() { w.wipe(w.index().GetName()) })
	w.stillGood("1", "2")
	if got := w.goods(); got[0] != "1" && got[0] != "2" {
		t.Errorf("good are %v", got)
	}
}

// An index that cannot be read is not taken for one that names nothing.
//
// catalogue 120
func TestAnIndexThatCannotBeReadCostsNoRelease(t *testing.T) {
	t.Parallel()
	w := keeping(t)
	w.meanwhile(func() {
		index := w.index()
		_ = unstructured.SetNestedField(index.Object, base64.StdEncoding.EncodeToString([]byte("not JSON")), "data", "index.json")
		if _, err := w.ownSecrets().Update(t.Context(), index, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	w.stillGood("1", "2")
}

// The Secrets of earlier versions have no label, and become seen as they are.
func TestAReleaseOfAnEarlierVersionIsLabelled(t *testing.T) {
	t.Parallel()
	w := keeping(t)
	var uid types.UID
	w.meanwhile(func() {
		part := w.partSecrets()["1"]
		uid = part.GetUID()
		part.SetLabels(nil)
		if _, err := w.ownSecrets().Update(t.Context(), part, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	w.stillGood("1", "2")
	if part := w.partSecrets()["1"]; part == nil || part.GetUID() != uid {
		t.Errorf("it is %v; want the very same Secret", part)
	}
}

// catalogue 120
func TestPartsOfNoReleaseAreRemovedAndNobodyElsesAre(t *testing.T) {
	t.Parallel()
	w := keeping(t)
	part := w.partSecrets()["1"]
	copied := func(name string) {
		other := part.DeepCopy()
		other.SetUID("")
		other.SetResourceVersion("")
		other.SetManagedFields(nil)
		other.SetName(name)
		if _, err := w.ownSecrets().Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	index := w.index().GetName()
	w.meanwhile(func() {
		copied("backup")                          // by a person, with its labels
		copied(index + "-saved")                  // named like ours
		copied(index + "-other-0123456789-0")     // of another target, by its name
		copied(index + "-" + "0123456789" + "-0") // left by a crash
	})
	orphan := index + "-0123456789-0"
	gone := func() (bool, string) {
		_, err := w.ownSecrets().Get(t.Context(), orphan, metav1.GetOptions{})
		return err != nil, "still there"
	}
	w.eventually("the orphan to go", gone)
	copied(orphan) // while it runs
	w.eventually("the orphan to go again", gone)
	for _, name := range []string{"backup", index + "-saved", index + "-other-0123456789-0"} {
		if _, err := w.ownSecrets().Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
}

// catalogue 120
func TestARequestGoesWithItsIndex(t *testing.T) {
	t.Parallel()
	w := keeping(t)
	asking, err := cluster.New(w.options)
	if err != nil {
		t.Fatal(err)
	}
	defer asking.Close()
	answer := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := asking.AskRollback(ctx, w.target, drift.RollbackRequest{By: "ada", Reason: "deleted"})
		answer <- err
	}()
	w.asked("deleted")
	w.wipe(w.index().GetName())
	if err := <-answer; err == nil || !strings.Contains(err.Error(), "ask again") {
		t.Errorf("the answer is %v", err)
	}
	w.eventually("the index to be there again, without the request", func() (bool, string) {
		index := w.index()
		return index != nil && index.GetAnnotations()["pawl.dev/rollback"] == "", fmt.Sprint(index)
	})
	if err := w.cluster.Answer(t.Context(), w.target, "done"); err != nil {
		t.Error(err)
	}
	w.annotate("pawl.dev/rollback", `{"by":"ada","reason":"again"}`)
	w.asked("again")
	w.stillHeld()
}

// catalogue 91, 92
func TestWhatSomebodyDoesToAnInventoryIsUndone(t *testing.T) {
	t.Parallel()
	head := func(w *world) string { return "pawl-inventory-" + w.inventoryName() }
	for name, spoil := range map[string]func(*world){
		"deleted":        func(w *world) { w.deleteInventory(head(w)) },
		"unreadable":     func(w *world) { w.writeInventory(head(w), []byte("not gzip")) },
		"a part deleted": func(w *world) { w.deleteInventory(anyKey(w.parts())) },
		"a part edited":  func(w *world) { w.replacePart(anyKey(w.parts()), []byte("edited")) },
		"all deleted": func(w *world) {
			if err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.own).DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "pawl.dev/target!=x"}); err != nil {
				t.Fatal(err)
			}
		},
		"made to forget": func(w *world) {
			content, err := drift.Inventory{Target: "production/web"}.Encode()
			if err != nil {
				t.Fatal(err)
			}
			w.writeInventory(head(w), content)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, cluster.SplitInventories(512))
			w.settings.Prune = pruneAll
			w.apply(numbered(20, "1")...)
			if len(w.parts()) < 2 {
				t.Fatal("it is not split")
			}
			spoil(w)
			w.eventually("it to be whole again, and nothing else", func() (bool, string) {
				inv, in, err := w.storedIn()
				return err == nil && len(inv.Entries) == 20 && len(in) == len(w.parts()), fmt.Sprint(len(inv.Entries), len(in), len(w.parts()), err)
			})
			w.eventually("that to be told", func() (bool, string) { return len(w.tended()) > 0, "" })
			w.restart()
			w.apply(numbered(5, "1")...)
			if n := len(w.names()); n != 5 {
				t.Errorf("%d objects are left, want 5", n)
			}
		})
	}
}

// catalogue 91
func TestAHandEditedInventoryDeletesNothingForeign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.Prune = pruneAll
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
	victim := w.create(configMap("victim", "k", "1"))
	before, err := w.stored()
	if err != nil {
		t.Fatal(err)
	}
	forged := before.Clone()
	forged.Entries[drift.IDOf(victim)] = drift.Entry{Version: "v1", UID: string(victim.GetUID())}
	delete(forged.Entries, drift.ObjectID{Kind: "ConfigMap", Namespace: w.namespace, Name: "b"})
	content, err := forged.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.writeInventory("pawl-inventory-"+w.inventoryName(), content)
	w.apply(configMap("a", "k", "2")) // at once: before or after it was seen
	if w.lookup("ConfigMap/victim") == nil {
		t.Error("the victim was deleted")
	}
	if w.lookup("ConfigMap/b") != nil {
		t.Error("b was forgotten")
	}
	if inv, err := w.stored(); err != nil || len(inv.Entries) != 1 {
		t.Errorf("the inventory has %d objects, %v", len(inv.Entries), err)
	}
}

func TestANoteOnAnInventoryDelaysNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"))
	if _, err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.own).Patch(t.Context(), "pawl-inventory-"+w.inventoryName(), types.MergePatchType, []byte(`{"metadata":{"annotations":{"example.com/note":"mine"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
	w.restart()
	w.apply(configMap("a", "k", "1"))
	if w.lookup("ConfigMap/b") != nil {
		t.Error("b was not pruned")
	}
	if told := w.tended(); len(told) > 0 {
		t.Errorf("told is %+v", told)
	}
}

// catalogue 49
func TestWhoDeletesAnIndexAgainAndAgainIsSlowed(t *testing.T) {
	t.Parallel()
	w := keeping(t, func(o *cluster.Options) {
		o.Fights = drift.FightTerms{Corrections: 3, Within: time.Minute, FirstPause: 200 * time.Millisecond, MaxPause: time.Hour}
	})
	name := w.index().GetName()
	before := w.mark()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = w.ownSecrets().Delete(context.Background(), name, metav1.DeleteOptions{})
			time.Sleep(10 * time.Millisecond)
		}
	}()
	defer func() { cancel(); <-done }()
	w.eventually("the fight to be told", func() (bool, string) {
		told := w.tended()
		return len(told) > 0 && told[len(told)-1].Fight == drift.FightBegan, fmt.Sprint(told)
	})
	w.eventually("some corrections more", func() (bool, string) {
		n := len(w.writesSince(before))
		return n >= 6, fmt.Sprint(n)
	})
	if told := w.tended(); len(told) != 4 {
		t.Errorf("told %d times: %+v", len(told), told)
	}
	// The third pause is 800 ms, the fourth 1.6 s: what is asked meanwhile is bounded too.
	if n := len(w.requestsSince(before)); n > 30 {
		t.Errorf("%d requests", n)
	}
}

// catalogue 107
func TestWhatTheAgentKeepsSurvivesItsEndAtAnyMoment(t *testing.T) {
	t.Parallel()
	w := keeping(t)
	random := rand.New(rand.NewPCG(7, uint64(number(t, "PAWL_TEST_SEED", 1))))
	for round := range number(t, "PAWL_TEST_OWN_ROUNDS", 8) {
		var names []string
		list, err := w.ownSecrets().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.Items {
			names = append(names, s.GetName())
		}
		if len(names) > 0 {
			w.wipe(names[random.IntN(len(names))])
		}
		w.deleteInventory("pawl-inventory-" + w.inventoryName())
		w.eventually("a moment to pass", func() (bool, string) { return random.IntN(10) == 0, "" })
		w.restart()
		w.apply(configMap("a", "k", "2"))
		w.remember(w.good(configMap("a", "k", "2")))
		w.eventually("all that is named to be there, and nothing else", func() (bool, string) {
			index := w.index()
			if index == nil {
				return false, "no index"
			}
			text, _, _ := unstructured.NestedString(index.Object, "data", "index.json")
			content, _ := base64.StdEncoding.DecodeString(text)
			parts := w.partSecrets()
			for value, part := range parts {
				if value == "damaged" || !strings.Contains(string(content), part.GetName()) {
					return false, fmt.Sprintf("%s in %s", part.GetName(), content)
				}
			}
			return len(parts) > 0 && strings.Count(string(content), `"parts"`) == len(parts), fmt.Sprintf("%d, %s", len(parts), content)
		})
		if inv, err := w.stored(); err != nil || len(inv.Entries) != 1 {
			t.Fatalf("round %d: %d objects, %v", round, len(inv.Entries), err)
		}
	}
	if got := w.goods(); !slices.Contains(got, "2") {
		t.Errorf("good are %v", got)
	}
}

func anyKey[V any](m map[string]V) string {
	for key := range m {
		return key
	}
	return ""
}
