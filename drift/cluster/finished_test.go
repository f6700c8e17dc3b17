package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// runOnce is a Job, with pod annotations for the simulated node.
func runOnce(name, spec, annotations string) string {
	return fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata: {name: %s, namespace: '{ns}'}
spec:
  backoffLimit: 0
  %s
  template:
    metadata: {annotations: {%s}}
    spec:
      restartPolicy: Never
      containers:
      - name: migrate
        image: ghcr.io/acme/web@%s
        resources: {limits: {cpu: 1000m, memory: 1024Mi}}
`, name, spec, annotations, digestA)
}

const briefly = "ttlSecondsAfterFinished: 1"

// finished waits until the inventory says that a Job has finished.
func (w *world) finished(name string, how drift.Finished) {
	w.t.Helper()
	id := drift.ObjectID{Group: "batch", Kind: "Job", Namespace: w.namespace, Name: name}
	w.eventually("the end of "+name+" to be noted", func() (bool, string) {
		inv, err := w.stored()
		return err == nil && inv.Entries[id].Finished == how, fmt.Sprintf("%+v, %v", inv.Entries[id], err)
	})
}

func (w *world) goes(object string) {
	w.t.Helper()
	w.eventually(object+" to be gone", func() (bool, string) { return w.lookup(object) == nil, "it is there" })
}

// runsSince are the Jobs that the agent wrote, tried ones left out.
func (w *world) runsSince(m controlplane.Marker) (names []string) {
	w.t.Helper()
	for _, e := range w.writesSince(m) {
		if e.Resource == "jobs" && !e.DryRun {
			names = append(names, e.Name)
		}
	}
	return names
}

// catalogue 104
func TestAJobThatItsTTLRemovesRunsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.Prune = pruneAll
	migrate, a1, a2 := runOnce("migrate", briefly, ""), configMap("a", "k", "1"), configMap("a", "k", "2")
	w.apply(migrate, a1)
	w.finished("migrate", drift.FinishedComplete)
	mark := w.mark()
	w.goes("Job/migrate")

	w.apply(migrate, a1)
	w.restart()
	w.apply(migrate, a1)
	if writes := w.writesSince(mark); len(writes) > 0 {
		t.Errorf("what is left gone cost %v", writes)
	}
	w.healthBecomes(drift.Current)
	w.apply(migrate, a2)
	w.healthBecomes(drift.Current)
	w.apply(migrate, a1) // as a rollback does
	w.healthBecomes(drift.Current)
	if runs := w.runsSince(mark); len(runs) > 0 {
		t.Errorf("it ran again: %v", runs)
	}
	if drifts := w.drifts(); len(drifts) > 0 {
		t.Errorf("told as drift: %+v", drifts)
	}
	for _, n := range w.all() {
		if n.Health != nil && n.Health.Status != drift.Current {
			t.Errorf("told as %+v", n.Health)
		}
	}

	changed := runOnce("migrate", briefly, "step: '2'")
	w.apply(changed, a1)
	w.finished("migrate", drift.FinishedComplete)
	if runs := w.runsSince(mark); !slices.Equal(runs, []string{"migrate"}) {
		t.Errorf("changed in git it ran as %v", runs)
	}
	w.goes("Job/migrate")
	w.apply(a1)
	if inv, err := w.stored(); err != nil || len(inv.Entries) != 1 {
		t.Errorf("it left the release, and yet %+v, %v", inv.Entries, err)
	}
}

// Both are deleted by hand, one after the other, and seen so in that order.
//
// catalogue 104
func TestADeletedJobRunsAgainOnlyIfItWasNotComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.Drift = environments.DriftCorrect
	w.apply(runOnce("done", "", ""), runOnce("runs", "", "testworld.pawl.dev/completes-after: 10m"), configMap("a"))
	w.finished("done", drift.FinishedComplete)
	mark, uid := w.mark(), w.get("Job/runs").GetUID()
	w.delete("Job/done")
	w.delete("Job/runs")
	w.eventually("the Job that ran to be made again", func() (bool, string) {
		o := w.lookup("Job/runs")
		return o != nil && o.GetUID() != uid && len(w.drifts()) > 0, "it is not"
	})
	if d := w.noticed(); d.Object.Name != "runs" || !d.Deleted {
		t.Errorf("told as %+v", d)
	}
	if runs := w.runsSince(mark); !slices.Equal(runs, []string{"runs"}) || w.lookup("Job/done") != nil {
		t.Errorf("made again were %v", runs)
	}
}

// catalogue 104
func TestAJobThatFailsAndThatItsTTLRemovesStaysFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	crashes := "testworld.pawl.dev/fail: crash"
	w.apply(runOnce("migrate", briefly, crashes))
	w.finished("migrate", drift.FinishedFailed)
	w.goes("Job/migrate")
	mark := w.mark()
	message := "failed, and was removed by its ttlSecondsAfterFinished; it runs again once it is changed in git"
	told := func() (bool, string) {
		h := w.health()
		return h.Status == drift.Failed && strings.HasPrefix(h.Objects[0].Message, message), fmt.Sprintf("%+v", h)
	}
	w.eventually("its failure to be told", told)
	w.restart()
	w.apply(runOnce("migrate", briefly, crashes))
	w.eventually("its failure to be told after a restart", told)
	if runs := w.runsSince(mark); len(runs) > 0 {
		t.Errorf("it ran again: %v", runs)
	}
	w.apply(runOnce("migrate", briefly, ""))
	w.healthBecomes(drift.Current)
}

// Who deletes it wants it to be tried again.
func TestAJobThatFailedAndIsDeletedRunsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(runOnce("migrate", "ttlSecondsAfterFinished: 3600", "testworld.pawl.dev/fail: crash"))
	w.healthBecomes(drift.Failed)
	uid := w.get("Job/migrate").GetUID()
	w.delete("Job/migrate")
	w.eventually("it to be made again", func() (bool, string) {
		o := w.lookup("Job/migrate")
		return o != nil && o.GetUID() != uid, "it is not"
	})
}

// catalogue 88
func TestACompleteJobThatIsRecreatedRunsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recreatable := func(step string) string {
		return strings.Replace(runOnce("migrate", briefly, "step: "+step), "metadata: {name", "metadata: {"+asksForRecreation+", name", 1)
	}
	w.apply(recreatable("'1'"))
	w.finished("migrate", drift.FinishedComplete)
	mark := w.mark()
	w.eventually("the changed Job to be applied", func() (bool, string) { // its TTL may take the old one in between
		err := w.tryApply(recreatable("'2'"))
		return err == nil, fmt.Sprint(err)
	})
	w.finished("migrate", drift.FinishedComplete)
	w.goes("Job/migrate")
	w.healthBecomes(drift.Current)
	if runs := w.runsSince(mark); runs[len(runs)-1] != "migrate" || len(runs) > 2 {
		t.Errorf("written were %v, want a deletion, if it was there, and one creation", runs)
	}
}
