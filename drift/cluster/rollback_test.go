package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
)

// index is the Secret that names the target's good releases, nil if there is none.
func (w *world) index() *unstructured.Unstructured {
	w.t.Helper()
	list, err := w.dynamic.Resource(resources["Secret"]).Namespace(w.own).List(w.t.Context(), metav1.ListOptions{LabelSelector: "pawl.dev/good-of"})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(list.Items) == 0 {
		return nil
	}
	return &list.Items[0]
}

// annotate writes an annotation of the index, as somebody else would.
func (w *world) annotate(key, value string) {
	w.t.Helper()
	patch, _ := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{key: value}}})
	if _, err := w.dynamic.Resource(resources["Secret"]).Namespace(w.own).Patch(w.t.Context(), w.index().GetName(), types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// asked waits for the request with a reason, and returns it.
func (w *world) asked(reason string) (asked drift.RollbackRequest) {
	w.t.Helper()
	w.eventually("the request "+reason, func() (bool, string) {
		for _, n := range w.all() {
			if n.Rollback != nil && n.Target == w.target && n.Rollback.Reason == reason {
				asked = *n.Rollback
				return true, ""
			}
		}
		return false, fmt.Sprint(w.all())
	})
	return asked
}

// catalogue 120
func TestARequestThatWasMadeWhileNobodyWasThereIsFoundAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remember(w.good(configMap("a", "k", "1")))
	w.cluster.Close()
	before := time.Now().Add(-time.Minute)
	w.annotate("pawl.dev/rollback", `{"by":"ada","reason":"down"}`)

	w.start()
	if _, err := w.cluster.Accepted(t.Context()); err != nil { // all that an agent without targets does
		t.Fatal(err)
	}
	if r := w.asked("down"); r.By != "ada" || r.At.Before(before) || r.Expired(time.Now()) || !r.Expired(time.Now().Add(time.Hour)) {
		t.Errorf("asked is %+v", r)
	}
	if err := w.cluster.Answer(t.Context(), w.target, "done"); err != nil {
		t.Fatal(err)
	}
	if a := w.index().GetAnnotations(); a["pawl.dev/rollback"] != "" || a["pawl.dev/rollback-answer"] != "done" {
		t.Errorf("answered with %v", a)
	}

	// So the next one can be asked, and is heard though the index was written by others meanwhile.
	asking, err := cluster.New(w.options)
	if err != nil {
		t.Fatal(err)
	}
	defer asking.Close()
	answer := make(chan string, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		text, err := asking.AskRollback(ctx, w.target, drift.RollbackRequest{By: "ada", Reason: "again"})
		answer <- fmt.Sprint(text, err)
	}()
	w.asked("again")
	if err := w.cluster.Answer(t.Context(), w.target, "done again"); err != nil {
		t.Fatal(err)
	}
	if text := <-answer; text != "done again<nil>" {
		t.Errorf("the answer is %s", text)
	}
	w.annotate("pawl.dev/rollback", `{"by":"ada"}`)
	w.eventually("a refusal", func() (bool, string) {
		text := w.index().GetAnnotations()["pawl.dev/rollback-answer"]
		return strings.HasPrefix(text, "refused: "), text
	})
}

// catalogue 120
func TestWhoAsksInVainIsToldWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remember(w.good(configMap("a", "k", "1")))
	w.cluster.Close() // nobody answers
	asking, err := cluster.New(w.options)
	if err != nil {
		t.Fatal(err)
	}
	defer asking.Close()
	ask := func(ctx context.Context, reason string) error {
		_, err := asking.AskRollback(ctx, w.target, drift.RollbackRequest{By: "ada", Reason: reason})
		return err
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := ask(short, "first"); err == nil || !strings.Contains(err.Error(), "is it running? It still carries it out until ") {
		t.Errorf("nobody answers: %v", err)
	}
	if err := ask(t.Context(), "second"); err == nil || !strings.Contains(err.Error(), "somebody else asked at ") {
		t.Errorf("asked while another request stands: %v", err)
	}
	w.annotate("pawl.dev/rollback", "")
	said := make(chan error, 1)
	go func() { said <- ask(t.Context(), "third") }()
	w.eventually("the third request", func() (bool, string) {
		text := w.index().GetAnnotations()["pawl.dev/rollback"]
		return strings.Contains(text, "third"), text
	})
	w.annotate("pawl.dev/rollback", `{"by":"eve","reason":"fourth"}`) // as if the third was answered
	if err := <-said; err == nil || !strings.Contains(err.Error(), "somebody else asked right after") {
		t.Errorf("the answer is another's: %v", err)
	}
}

// catalogue 120
func TestWhoMayWriteAnIndexAsksForItsTargetAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remember(w.good(configMap("a", "k", "1")))
	w.annotate("pawl.dev/target", "production/other")
	w.annotate("pawl.dev/rollback", `{"by":"eve","reason":"not mine"}`)
	w.annotate("pawl.dev/target", "production/web")
	w.asked("not mine")
	for _, n := range w.all() {
		if n.Target != w.target {
			t.Errorf("asked of %s", n.Target)
		}
	}
}

func TestWhatOthersWriteOnAnIndexDelaysNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remember(w.good(configMap("a", "k", "1")))
	w.annotate("example.com/note", "mine")
	if err := w.cluster.Hold(t.Context(), w.target, &drift.Hold{Release: "sha256:bad"}); err != nil {
		t.Fatal(err)
	}
	w.annotate("example.com/note", "still mine")
	w.remember(w.good(configMap("a", "k", "2")))
	w.restart()
	if h, err := w.cluster.Held(t.Context(), w.target); err != nil || !h.Held("sha256:bad") {
		t.Errorf("held is %+v, %v", h, err)
	}
	if got := w.goods(); len(got) != 2 || w.index().GetAnnotations()["example.com/note"] != "still mine" {
		t.Errorf("good are %v, annotations %v", got, w.index().GetAnnotations())
	}
}
