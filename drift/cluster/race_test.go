package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

const byHelm = "labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop}"

// Killed right after a deleted object was made again, and before that was noted,
// the agent knows its own object again, and nobody else's.
//
// catalogue 90, 107
func TestWhatWasMadeAgainRightBeforeACrashIsKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(*world)
		kept      string // why it is; it is pruned if empty
	}{
		"left alone":     {func(*world) {}, ""},
		"then edited":    {func(w *world) { w.edit("ConfigMap/a", `{"data":{"theirs":"1"}}`) }, "replaced by another object"},
		"made of a copy": {func(w *world) { w.replace("ConfigMap/a") }, "no longer bears this target's mark"},
		"made of a copy with its managed fields": {func(w *world) {
			copied := w.get("ConfigMap/a")
			w.delete("ConfigMap/a")
			copied.SetUID("")
			copied.SetResourceVersion("")
			client, _ := w.at("ConfigMap/a")
			if _, err := client.Create(t.Context(), copied, metav1.CreateOptions{FieldManager: "kubectl-create"}); err != nil {
				t.Error(err)
			}
		}, "no longer bears this target's mark"},
		"applied with its labels": {func(w *world) {
			labels, _ := json.Marshal(w.get("ConfigMap/a").GetLabels())
			w.delete("ConfigMap/a")
			w.applied("kubectl", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: '{ns}', labels: "+string(labels)+"}\ndata: {k: '1'}\n")
		}, "no longer bears this target's mark"},
		// As Velero does: the managed fields of the backup come last, and only they.
		"restored from a backup": {func(w *world) {
			backup := w.get("ConfigMap/a")
			w.eventually("the backup to be old", func() (bool, string) { return time.Since(backup.GetCreationTimestamp().Time) > 3*time.Second, "" })
			w.replace("ConfigMap/a")
			fields, _ := json.Marshal(map[string]any{"metadata": map[string]any{"managedFields": backup.GetManagedFields()}})
			client, _ := w.at("ConfigMap/a")
			o, err := client.Patch(t.Context(), "a", types.MergePatchType, fields, metav1.PatchOptions{FieldManager: "velero-server"})
			if err != nil || drift.Observe(o).Mark.IsZero() {
				t.Errorf("the backup did not bring back the mark: %v, %v", o, err)
			}
		}, "replaced by another object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			way, through := unreliably(t, controlplane.Shared(t), 1)
			var cut atomic.Bool
			way.Before = func(r *http.Request) {
				if cut.Load() && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/pawl-inventory-") {
					panic(http.ErrAbortHandler)
				}
			}
			w := newWorld(t, through)
			w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
			cut.Store(true)
			w.delete("ConfigMap/a")
			w.noticed()
			w.cluster.Close()
			c.meanwhile(w)
			cut.Store(false)
			w.restart()
			applied := w.apply(configMap("b", "k", "1"))
			found := w.lookup("ConfigMap/a")
			switch {
			case c.kept == "" && found != nil:
				t.Errorf("our own object is left over: %v", actions(applied.Steps))
			case c.kept != "" && found == nil:
				t.Error("it was deleted")
			case c.kept != "" && !strings.Contains(fmt.Sprint(actions(applied.Steps)), c.kept):
				t.Errorf("kept for another reason: %v", actions(applied.Steps))
			}
		})
	}
}

// Between the look and the write somebody else deletes the object and makes one
// of their own, or makes one where there was none.
//
// catalogue 90, 99, 110
func TestNothingIsWrittenOverWhatCameInBetween(t *testing.T) {
	t.Parallel()
	helms := func(w *world) { w.create(byTool(byHelm)) }
	for name, c := range map[string]struct {
		before func(*world) // what makes the agent write
		during func(*world)
		wanted string // data.k once all is calm
		kept   bool   // once it leaves the release
		apply  bool   // it is a release that writes, and is refused
	}{
		"a repair of what Helm replaced": {
			func(w *world) { w.edit("ConfigMap/a", `{"data":{"k":"by hand"}}`) },
			func(w *world) { w.delete("ConfigMap/a"); helms(w) }, "old", true, false,
		},
		"a repair of what was deleted": {
			func(w *world) { w.edit("ConfigMap/a", `{"data":{"k":"by hand"}}`) },
			func(w *world) { w.delete("ConfigMap/a") }, "1", false, false,
		},
		"a repair of what was deleted, and Helm made": {
			func(w *world) { w.delete("ConfigMap/a") }, helms, "old", true, false,
		},
		// Nobody claims it, so that it is taken over as in any release; and kept.
		"a repair of what was deleted, and a person made": {
			func(w *world) { w.delete("ConfigMap/a") },
			func(w *world) { w.create(configMap("a", "k", "theirs")) }, "1", true, false,
		},
		"a release that changes what Helm replaced": {
			func(*world) {}, func(w *world) { w.delete("ConfigMap/a"); helms(w) }, "old", true, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			way, through := unreliably(t, controlplane.Shared(t), 1)
			var armed atomic.Bool
			var w *world
			way.Before = func(r *http.Request) {
				if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/configmaps/a") && !r.URL.Query().Has("dryRun") && armed.CompareAndSwap(true, false) {
					c.during(w)
				}
			}
			w = newWorld(t, through)
			w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
			armed.Store(true)
			c.before(w)
			if c.apply {
				_, err := w.cluster.Apply(t.Context(), w.verified(configMap("a", "k", "2"), configMap("b", "k", "2")), drift.Terms{Environment: w.settings})
				if err == nil || !strings.Contains(err.Error(), "somebody else made another object of that name meanwhile") {
					t.Errorf("got %v", err)
				}
				var conflict *drift.Conflict
				if _, err = w.cluster.Apply(t.Context(), w.verified(configMap("a", "k", "2"), configMap("b", "k", "2")), drift.Terms{Environment: w.settings}); !errors.As(err, &conflict) {
					t.Errorf("looked at anew: %v", err)
				}
			}
			w.eventually("the race", func() (bool, string) { return !armed.Load(), "" })
			w.noticed()
			w.calm("ConfigMap/b")
			w.eventually("the object to be "+c.wanted, func() (bool, string) {
				o := w.lookup("ConfigMap/a")
				if o == nil {
					return false, "gone"
				}
				data := o.Object["data"].(map[string]any)
				return data["k"] == c.wanted && (c.wanted == "1") == (o.GetLabels()[drift.LabelTarget] != ""), fmt.Sprint(data, o.GetLabels())
			})
			w.apply(configMap("b", "k", "1"))
			if left := w.lookup("ConfigMap/a") != nil; left != c.kept {
				t.Errorf("once it left the release it is there: %v", left)
			}
		})
	}
}

// An object that somebody makes while a release is about to make it is theirs:
// taken over only once that was noted, and never pruned.
//
// catalogue 90, 99
func TestAReleaseMakesNothingOverWhatCameInBetween(t *testing.T) {
	t.Parallel()
	way, through := unreliably(t, controlplane.Shared(t), 1)
	var armed atomic.Bool
	var w *world
	way.Before = func(r *http.Request) {
		if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/configmaps/a") && !r.URL.Query().Has("dryRun") && armed.CompareAndSwap(true, false) {
			w.create(configMap("a", "own", "data"))
		}
	}
	w = newWorld(t, through)
	armed.Store(true)
	release := w.verified(configMap("a", "k", "1"), configMap("b", "k", "1"))
	if _, err := w.cluster.Apply(t.Context(), release, drift.Terms{}); err == nil || !strings.Contains(err.Error(), "/a: somebody else made another object of that name meanwhile") {
		t.Fatalf("got %v", err)
	}
	if o := w.get("ConfigMap/a"); len(o.GetLabels()) > 0 {
		t.Errorf("it was written over: %v", o)
	}
	if _, err := w.cluster.Apply(t.Context(), release, drift.Terms{}); err != nil {
		t.Fatal(err)
	}
	w.apply(configMap("b", "k", "1"))
	if o := w.get("ConfigMap/a"); o.Object["data"].(map[string]any)["own"] != "data" {
		t.Errorf("their object is %v", o)
	}
}

// What we made is ours, though the answer was lost and somebody edited it before
// the request was made again.
//
// catalogue 90, 109
func TestWhatWasMadeByARequestWithoutAnAnswerIsOurs(t *testing.T) {
	t.Parallel()
	way, through := unreliably(t, controlplane.Shared(t), 1)
	var lose, edit atomic.Bool
	var w *world
	ours := func(r *http.Request) bool {
		return r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/configmaps/a") && !r.URL.Query().Has("dryRun")
	}
	lose.Store(true)
	way.Lose = func(r *http.Request) bool { return ours(r) && lose.CompareAndSwap(true, false) }
	way.Before = func(r *http.Request) {
		if ours(r) && !lose.Load() && edit.CompareAndSwap(true, false) && w.lookup("ConfigMap/a") != nil {
			w.edit("ConfigMap/a", `{"data":{"theirs":"1"}}`)
		} else if ours(r) {
			edit.Store(true)
		}
	}
	w = newWorld(t, through)
	w.settings = environments.Environment{Drift: environments.DriftCorrect}
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
	if o := w.get("ConfigMap/a"); o.Object["data"].(map[string]any)["theirs"] != "1" {
		t.Fatalf("it was not made by the request whose answer was lost: %v", o)
	}
	w.settings = environments.Environment{}
	w.apply(configMap("b", "k", "1"))
	if w.lookup("ConfigMap/a") != nil {
		t.Error("it was taken for somebody else's")
	}
}

// What is refused at first is not what is refused in the end, and it is not
// called missing.
//
// catalogue 104
func TestWhyWhatSomebodyReplacedIsNotPutBackIsTold(t *testing.T) {
	t.Parallel()
	way, through := unreliably(t, controlplane.Shared(t), 1)
	var armed atomic.Bool
	var w *world
	fixed := func(value string) string { return configMap("a", "k", value) + "immutable: true\n" }
	way.Before = func(r *http.Request) {
		if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/configmaps/a") && !r.URL.Query().Has("dryRun") && armed.CompareAndSwap(true, false) {
			w.create(fixed("theirs"))
		}
	}
	w = newWorld(t, through)
	w.apply(fixed("ours"), configMap("b", "k", "1"))
	armed.Store(true)
	w.delete("ConfigMap/a")
	w.eventually("the lasting reason to be told", func() (bool, string) {
		return slices.ContainsFunc(w.drifts(), func(d drift.Drift) bool {
			return d.Err != nil && strings.Contains(d.Err.Error(), "immutable")
		}), fmt.Sprintf("%+v", w.drifts())
	})
	if n := len(w.drifts()); n > 3 {
		t.Errorf("told %d times: %+v", n, w.drifts())
	}
	w.eventually("health to say so", func() (bool, string) {
		for _, o := range w.health().Objects {
			if o.Object.Name == "a" && strings.Contains(o.Message, "cannot be put back") {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", w.health())
	})
}
