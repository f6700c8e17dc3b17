package cluster_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
)

// good is a release as it is remembered.
func (w *world) good(documents ...string) drift.Good {
	v := w.verified(documents...)
	return drift.Good{Release: v.Release(), Evidence: v.Evidence(), Terms: drift.Terms{Environment: w.settings, Demands: "strict"}, At: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
}

func (w *world) remember(g drift.Good) {
	w.t.Helper()
	if err := w.cluster.Remember(w.t.Context(), g); err != nil {
		w.t.Fatal(err)
	}
}

// goods are the values of k in the remembered releases of ConfigMap a.
func (w *world) goods() (values []string) {
	w.t.Helper()
	all, err := w.cluster.Good(w.t.Context(), w.target)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, g := range all {
		data, _ := g.Release.Objects[0].Object["data"].(map[string]any)
		value, _ := data["k"].(string)
		values = append(values, value)
	}
	return values
}

// catalogue 61
func TestHowAReleaseIsKeptChangesWithoutTheRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.good(configMap("a", "k", "1"))
	w.remember(g)
	g.Terms.Environment.Drift = environments.DriftReport
	before := w.mark()
	w.remember(g)
	if writes := w.writesSince(before); len(writes) != 1 {
		t.Errorf("want the index alone to be written: %v", writes)
	}
	w.restart()
	before = w.mark()
	all, err := w.cluster.Good(t.Context(), w.target)
	if err != nil || len(all) != 1 || all[0].Terms.Environment.Drift != environments.DriftReport {
		t.Errorf("got %+v, %v", all, err)
	}
	w.remember(g)
	if writes := w.writesSince(before); len(writes) > 0 {
		t.Errorf("written again: %v", writes)
	}
}

// catalogue 120
func TestTheLastGoodReleasesAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := func(values ...string) {
		t.Helper()
		if diff := cmp.Diff(values, w.goods()); diff != "" {
			t.Error(diff)
		}
	}
	want()
	for _, value := range []string{"1", "2", "3", "4"} {
		w.remember(w.good(configMap("a", "k", value)))
	}
	want("4", "3", "2")
	w.restart()
	want("4", "3", "2")

	// What is known already is not written again, also after a restart.
	before := w.mark()
	w.remember(w.good(configMap("a", "k", "4")))
	if writes := w.writesSince(before); len(writes) > 0 {
		t.Errorf("written again: %v", writes)
	}
	w.remember(w.good(configMap("a", "k", "2"))) // good once more
	want("2", "4", "3")

	all, err := w.cluster.Good(t.Context(), w.target)
	if err != nil {
		t.Fatal(err)
	}
	g, wanted := all[0], w.good(configMap("a", "k", "2"))
	if g.Release.Digest != wanted.Release.Digest || g.Release.Commit != wanted.Release.Commit || g.Release.Target != w.target || !cmp.Equal(g.Terms, wanted.Terms) || !g.At.Equal(wanted.At) {
		t.Errorf("remembered is %+v", g)
	}
	if diff := cmp.Diff(wanted.Release.Objects[0].Object, g.Release.Objects[0].Object); diff != "" {
		t.Error(diff)
	}
	secrets, err := w.dynamic.Resource(resources["Secret"]).Namespace(w.own).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(secrets.Items) != 1+3 {
		t.Errorf("%d Secrets for an index and three releases, %v", len(secrets.Items), err)
	}
}

// catalogue 120
func TestAReleaseThatIsDiscardedIsNotGoodAnyMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, value := range []string{"1", "2"} {
		w.remember(w.good(configMap("a", "k", value)))
	}
	bad := w.good(configMap("a", "k", "2")).Release.Digest
	if err := w.cluster.Discard(t.Context(), w.target, bad); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1"}, w.goods()); diff != "" {
		t.Error(diff)
	}
	w.restart()
	if diff := cmp.Diff([]string{"1"}, w.goods()); diff != "" {
		t.Error("after a restart", diff)
	}
	secrets, err := w.dynamic.Resource(resources["Secret"]).Namespace(w.own).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(secrets.Items) != 1+1 {
		t.Errorf("%d Secrets for an index and one release, %v", len(secrets.Items), err)
	}
	before := w.mark()
	if err := w.cluster.Discard(t.Context(), w.target, bad); err != nil {
		t.Error("discarded twice:", err)
	}
	if writes := w.writesSince(before); len(writes) > 0 {
		t.Errorf("discarding it again wrote %v", writes)
	}
}

// catalogue 92, 105
func TestALargeReleaseIsKeptInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var documents []string
	for i := range 4 {
		documents = append(documents, configMap(string(rune('a'+i)), "k", incompressible(700<<10, i)))
	}
	g := w.good(documents...)
	w.remember(g)
	w.restart()
	all, err := w.cluster.Good(t.Context(), w.target)
	if err != nil || len(all) != 1 || len(all[0].Release.Objects) != 4 {
		t.Fatalf("got %d releases, %v", len(all), err)
	}
	if diff := cmp.Diff(g.Release.Objects[3].Object, all[0].Release.Objects[3].Object); diff != "" {
		t.Error("the last object is another one")
	}
	maps, err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.own).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range maps.Items { // what a release holds may be secret
		if strings.HasPrefix(m.GetName(), "pawl-good-") {
			t.Errorf("%s is a ConfigMap", m.GetName())
		}
	}
}

func TestAReleaseThatWasTamperedWithIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remember(w.good(configMap("a", "k", "1")))
	w.remember(w.good(configMap("a", "k", "2")))
	secrets := w.dynamic.Resource(resources["Secret"]).Namespace(w.own)
	list, err := secrets.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Items {
		if s.GetLabels()["pawl.dev/good-part-of"] != "" {
			w.damage(&s)
			break
		}
	}
	all, err := w.cluster.Good(t.Context(), w.target)
	if err == nil || len(all) != 1 {
		t.Errorf("got %d releases and %v; want the other one, and an error", len(all), err)
	}
}

// catalogue 120
func TestAHoldIsRememberedUntilItIsLifted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held := func() *drift.Hold {
		t.Helper()
		h, err := w.cluster.Held(t.Context(), w.target)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	hold := func(h *drift.Hold) {
		t.Helper()
		if err := w.cluster.Hold(t.Context(), w.target, h); err != nil {
			t.Fatal(err)
		}
	}
	before := w.mark()
	hold(nil)
	if writes := w.writesSince(before); len(writes) > 0 || held() != nil {
		t.Errorf("lifting what is not held wrote %v", writes)
	}
	want := drift.Hold{Release: "sha256:bad", Commit: "77be1c2", Why: "pod web: exit 1", To: "8d2e1a7", At: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	hold(&want)
	w.restart()
	if h := held(); h == nil || *h != want || !h.Held("sha256:bad") || h.Held("sha256:good") {
		t.Errorf("held is %+v", h)
	}
	w.remember(w.good(configMap("a", "k", "1")))
	if held() == nil {
		t.Error("remembering a release lifts the hold")
	}
	want.Why = strings.Repeat("pod web: exit 1; ", 100_000)
	hold(&want) // a Secret holds 1 MiB
	hold(nil)
	w.restart()
	if h := held(); h != nil || h.Held("sha256:bad") {
		t.Errorf("lifted, and yet %+v", h)
	}
}

// incompressible is text that gzip cannot make much smaller.
func incompressible(n, seed int) string {
	var b strings.Builder
	x := uint64(seed)*2654435761 + 88172645463325252
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
	for range n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b.WriteByte(letters[x%64])
	}
	return b.String()
}

// turnstile holds up requests of a kind until it is opened.
type turnstile struct {
	http.RoundTripper
	holds        func(*http.Request) bool
	held, opened chan struct{}
}

func (g *turnstile) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.holds(r) {
		select {
		case g.held <- struct{}{}:
		default:
		}
		<-g.opened
	}
	return g.RoundTripper.RoundTrip(r)
}

func TestNoTargetWaitsForAnotherOneToBeRemembered(t *testing.T) {
	t.Parallel()
	slow := &turnstile{held: make(chan struct{}, 1), opened: make(chan struct{}), holds: func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/secrets")
	}}
	w := newWorld(t, func(o *cluster.Options) {
		o.Config = rest.CopyConfig(o.Config)
		o.Config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			slow.RoundTripper = next
			return slow
		})
	})
	remembered := make(chan error, 1)
	go func() { remembered <- w.cluster.Remember(t.Context(), w.good(configMap("a", "k", "1"))) }()
	<-slow.held
	other := w.target
	other.Application = "other"
	answered := make(chan error, 1)
	go func() {
		_, err := w.cluster.Held(t.Context(), other)
		answered <- errors.Join(err, w.cluster.Hold(t.Context(), other, nil))
	}()
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("another target waits")
	}
	close(slow.opened)
	if err := <-remembered; err != nil {
		t.Error(err)
	}
}
