package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// A target whose overlay is gone is deleted by a word alone, and to the end, also
// if the agent is started anew in between.
//
// catalogue 96
func TestATargetIsRetiredByAWord(t *testing.T) {
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
			w.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: before, namespace: '{ns}'}\n")
			w.apply(configMap("a", "k", "1"), configMap("held", "k", "1"), configMap("before", "k", "1"))
			deletions := w.deletions()
			nobody := func(context.Context) (*drift.Others, error) { return &drift.Others{}, nil }
			leave := func(word *drift.PruneWord) drift.Left {
				t.Helper()
				left, err := w.cluster.Leave(t.Context(), w.target, drift.Terms{Environment: environments.Environment{Prune: pruneAll}, Word: word, Others: nobody})
				if err != nil {
					t.Fatal(err)
				}
				return left
			}

			next()
			left := leave(nil)
			if left.Objects != 3 || left.Held == nil || left.Held.Word() != "Pawl-Prune: production/web 2" || len(left.Pending) > 0 {
				t.Fatalf("without a word: %+v, %v", left, left.Held)
			}
			leave(&drift.PruneWord{Target: w.target.String(), Objects: 3})
			w.undeleted(deletions)
			if !restarts { // it runs on as before
				n := len(w.drifts())
				w.edit("ConfigMap/a", `{"data":{"k":"by hand"}}`)
				w.eventually("what is gone from git to be kept", func() (bool, string) { return len(w.drifts()) > n, "" })
			}

			w.edit("ConfigMap/held", `{"metadata":{"finalizers":["example.com/x"]}}`)
			left = leave(&drift.PruneWord{Target: w.target.String(), Objects: 2})
			if len(left.Pending) != 1 || left.Pending[0].Name != "held" {
				t.Fatalf("with the word: %+v, %v", left, left.Held)
			}
			next()
			if left = leave(nil); len(left.Pending) != 1 { // what was allowed needs no second word
				t.Fatalf("gone on with: %+v, %v", left, left.Held)
			}
			client, name := w.at("ConfigMap/held")
			if _, err := client.Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			w.eventually("it to be forgotten", func() (bool, string) {
				left = leave(nil)
				return left.Objects == 0, fmt.Sprintf("%+v", left)
			})
			if w.lookup("ConfigMap/a") != nil || w.lookup("ConfigMap/held") != nil || w.lookup("ConfigMap/before") == nil {
				t.Error("what it made is to be gone, and what was there before to be left")
			}
			names := slices.Compact(slices.Sorted(slices.Values(deletions())))
			if strings.Join(names, " ") != "a held" {
				t.Errorf("deleted: %v", names)
			}
			accepted, err := w.cluster.Accepted(t.Context(), w.target)
			if err != nil || len(accepted) > 0 && accepted[0].Release != "" {
				t.Errorf("it is remembered as %+v, %v", accepted, err)
			}
		})
	}
}
