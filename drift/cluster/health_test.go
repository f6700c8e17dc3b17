package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

func TestHealthGoesFromProgressingToCurrent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a"), deployment("web", 2, "testworld.pawl.dev/ready-after: 1s"))
	h := w.healthBecomes(drift.Progressing)
	if h.Objects[0].Status != drift.Current || h.Objects[1].Status != drift.Progressing || h.Objects[1].Message == "" {
		t.Errorf("got %+v", h)
	}
	w.healthBecomes(drift.Current)
	for _, n := range w.all() {
		if n.Health != nil && n.Release != w.verified(configMap("a"), deployment("web", 2, "testworld.pawl.dev/ready-after: 1s")).Release().Digest {
			t.Errorf("the notice is about release %s", n.Release)
		}
	}
}

func TestAFailingPodFailsItsTargetAtOnceAndMayRecover(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ annotations, message string }{
		"image pull": {"testworld.pawl.dev/fail: image-pull", "ErrImagePull"},
		"crash":      {"testworld.pawl.dev/fail: crash", "CrashLoopBackOff: exit 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.apply(configMap("a"), deployment("web", 1, ""))
			w.healthBecomes(drift.Current)
			w.apply(configMap("a"), deployment("web", 1, c.annotations))
			h := w.healthBecomes(drift.Failed)
			if h.Objects[1].Status != drift.Failed || !strings.Contains(h.Objects[1].Message, "pod web-") ||
				!strings.Contains(h.Objects[1].Message, c.message) && !strings.Contains(h.Objects[1].Message, "ImagePullBackOff") {
				t.Errorf("got %+v", h.Objects[1])
			}
			// The fix is not blamed for the pods that it replaces.
			fix := []string{configMap("a"), deployment("web", 1, "testworld.pawl.dev/ready-after: 1500ms")}
			w.forgetNotices()
			w.apply(fix...)
			w.healthBecomes(drift.Progressing)
			w.healthBecomes(drift.Current)
			for _, n := range w.all() {
				if n.Health != nil && n.Health.Status == drift.Failed && n.Release == w.verified(fix...).Release().Digest {
					t.Errorf("failed on the way to current: %+v", n.Health)
				}
			}
		})
	}
}

func (w *world) forgetNotices() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices = nil
}

func TestPodsThatQuotaRefusesAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: small, namespace: '{ns}'}\nspec: {hard: {limits.cpu: 100m}}\n", deployment("web", 1, ""))
	h := w.healthBecomes(drift.Failed)
	if message := h.Objects[1].Message; !strings.Contains(message, "exceeded quota: small") {
		t.Errorf("got %q", message)
	}
}

func TestAJobThatFailsSaysHowItsPodEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(`
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: '{ns}'}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: {testworld.pawl.dev/fail: crash}}
    spec:
      restartPolicy: Never
      containers:
      - name: migrate
        image: ghcr.io/acme/web@` + digestA + `
        resources: {limits: {cpu: 1000m, memory: 1024Mi}}
`)
	w.healthBecomes(drift.Failed)
	w.eventually("the end of the pod is told", func() (bool, string) {
		message := w.health().Objects[0].Message
		return strings.Contains(message, "BackoffLimitExceeded") && strings.Contains(message, "pod migrate-") && strings.Contains(message, "exit 1"), message
	})
}

// A fix does not wait for what it replaces, and from its apply on only its own
// health is told.
func TestANewReleaseEndsTheWaitForTheOneBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(deployment("web", 1, "testworld.pawl.dev/fail: never-ready"))
	w.healthBecomes(drift.Progressing)
	fix := deployment("web", 1, "fixed: 'yes'")
	w.apply(fix)
	w.forgetNotices()
	w.healthBecomes(drift.Current)
	for _, n := range w.all() {
		if n.Health != nil && n.Release != w.verified(fix).Release().Digest {
			t.Errorf("told of the release before: %+v", n)
		}
	}
}

// What is deleted while the release is waited for comes back, and the wait ends.
func TestWhatIsDeletedDuringTheWaitComesBackAndTheWaitEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.Drift = environments.DriftCorrect
	w.apply(configMap("a"), deployment("web", 1, "testworld.pawl.dev/ready-after: 500ms"))
	w.healthBecomes(drift.Progressing)
	before := w.get("Deployment/web").GetUID()
	w.delete("Deployment/web")
	w.delete("ConfigMap/a")
	w.eventually("both are back and healthy", func() (bool, string) {
		web, h := w.lookup("Deployment/web"), w.health()
		return web != nil && web.GetUID() != before && w.lookup("ConfigMap/a") != nil && h.Status == drift.Current, fmt.Sprintf("%+v", h)
	})
	for _, n := range w.all() {
		if n.Health != nil && n.Health.Status == drift.Failed {
			t.Errorf("failed on the way: %+v", n.Health)
		}
	}
}

func TestWhatIsNotReadyInTimeFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.HealthTimeout = environments.Duration(time.Second)
	w.apply(deployment("web", 1, "testworld.pawl.dev/fail: never-ready"))
	h := w.healthBecomes(drift.Failed)
	if message := h.Objects[0].Message; !strings.HasPrefix(message, "not ready after 1s: ") {
		t.Errorf("got %q", message)
	}
	w.apply(deployment("web", 1, "fixed: 'yes'"))
	w.healthBecomes(drift.Current)
}

func TestAWorkloadThatBreaksLaterIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(deployment("web", 1, "testworld.pawl.dev/ready-after: 300ms"))
	w.healthBecomes(drift.Current)
	pods, err := w.pods()
	if err != nil || len(pods) != 1 {
		t.Fatal(pods, err)
	}
	if err := w.deletePod(pods[0]); err != nil {
		t.Fatal(err)
	}
	w.healthBecomes(drift.Progressing)
	w.healthBecomes(drift.Current)
}

func TestPlanTellsFieldsAndWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: '{ns}'}\nstringData: {password: %s}\n"
	w.apply(configMap("a", "k", "1"), configMap("b"), deployment("web", 1, ""), fmt.Sprintf(secret, "hunter2"))
	w.healthBecomes(drift.Current)
	before := w.mark()
	release := w.verified(configMap("a", "k", "1"), configMap("c"), deployment("web", 3, ""), fmt.Sprintf(secret, "correct-horse"))
	plan, err := w.cluster.Plan(t.Context(), release, drift.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"unchanged ConfigMap/a: ",
		"create ConfigMap/c: not there yet",
		"configure Secret/s: differs from the release; 1 field differs",
		"configure Deployment/web: differs from the release; 1 field differs",
		"delete ConfigMap/b: left the release",
	}
	if got := actions(plan.Steps); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if c := plan.Steps[2].Changes; len(c) != 1 || c[0] != (drift.Change{Path: "data.password"}) {
		t.Errorf("got %+v", c)
	}
	if c := plan.Steps[3].Changes; len(c) != 1 || c[0] != (drift.Change{Path: "spec.replicas", From: "1", To: "3"}) {
		t.Errorf("got %+v", c)
	}
	if writes := w.writesSince(before); len(writes) > 0 {
		t.Errorf("a plan wrote: %v", writes)
	}
	if w.lookup("ConfigMap/b") == nil || w.lookup("ConfigMap/c") != nil {
		t.Error("a plan changed something")
	}
	// What was planned is what happens, and then there is nothing left to plan.
	applied, err := w.cluster.Apply(t.Context(), release, drift.Terms{Environment: environments.Environment{}})
	if err != nil || len(applied.Steps) != len(plan.Steps) {
		t.Fatal(applied, err)
	}
	for i := range plan.Steps {
		if applied.Steps[i].Action != plan.Steps[i].Action || applied.Steps[i].Object != plan.Steps[i].Object {
			t.Errorf("planned %v, applied %v", plan.Steps[i], applied.Steps[i])
		}
	}
	plan, err = w.cluster.Plan(t.Context(), release, drift.Terms{})
	if err != nil || plan.Count(drift.Unchanged) != 4 || len(plan.Steps) != 4 {
		t.Errorf("got %v, %v", actions(plan.Steps), err)
	}
}
