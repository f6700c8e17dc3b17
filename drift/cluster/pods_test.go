package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// workload is one of a kind, with annotations for the simulated node and more
// of the pod's spec.
func workload(kind, annotations, more string) string {
	group, spec, restart := "apps/v1", "selector: {matchLabels: {app: web}}", "Always"
	switch kind {
	case "StatefulSet": // one in order never replaces a pod that is not ready
		spec += "\n  serviceName: web\n  podManagementPolicy: Parallel"
	case "Job":
		group, spec, restart = "batch/v1", "backoffLimit: 0", "Never"
	}
	return fmt.Sprintf(`
apiVersion: %s
kind: %s
metadata: {name: web, namespace: '{ns}'}
spec:
  %s
  template:
    metadata: {labels: {app: web}, annotations: {%s}}
    spec:
      restartPolicy: %s
      containers:
      - name: web
        image: ghcr.io/acme/web@%s
        resources: {limits: {cpu: 1000m, memory: 1024Mi}}
      %s
`, group, kind, spec, annotations, restart, digestA, more)
}

func TestTheCauseReachesHealthAtOnce(t *testing.T) {
	t.Parallel()
	const (
		simulated = "testworld.pawl.dev/fail: "
		nowhere   = "nodeSelector: {no: where}"
	)
	for _, c := range []struct {
		name, kind, annotations, more string
		status                        drift.HealthStatus
		message                       string
	}{
		{"an image that is not there", "StatefulSet", simulated + "image-pull", "", drift.Failed, "mage"},
		{"an image that is not there", "DaemonSet", simulated + "image-pull", "", drift.Failed, "mage"},
		{"an image that is not there", "Job", simulated + "image-pull", "", drift.Failed, "mage"},
		{"a crash", "StatefulSet", simulated + "crash", "", drift.Failed, "pod web-0: CrashLoopBackOff: exit 1: simulated crash"},
		{"a crash", "DaemonSet", simulated + "crash", "", drift.Failed, "CrashLoopBackOff: exit 1: simulated crash"},
		{"too much memory", "Deployment", simulated + "out-of-memory", "", drift.Failed, "CrashLoopBackOff: exit 137 OOMKilled"},
		{"too much memory", "Job", simulated + "out-of-memory", "", drift.Failed, "exit 137 OOMKilled"},
		{"a missing Secret", "Deployment", simulated + "missing-secret", "", drift.Failed, `CreateContainerConfigError: secret "simulated" not found`},
		{"a missing Secret", "StatefulSet", simulated + "missing-secret", "", drift.Failed, `CreateContainerConfigError: secret "simulated" not found`},
		{"a volume", "Deployment", simulated + "mount", "", drift.Progressing, `FailedMount: MountVolume.SetUp failed for volume "simulated" : configmap "simulated" not found`},
		{"a volume", "DaemonSet", simulated + "mount", "", drift.Progressing, `FailedMount: MountVolume.SetUp failed`},
		{"a probe", "Deployment", simulated + "never-ready", "", drift.Progressing, "Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503"},
		{"no node", "Deployment", "", nowhere, drift.Progressing, "no node for it yet: 0/"},
		{"no node", "StatefulSet", "", nowhere, drift.Progressing, "pod web-0: no node for it yet: 0/"},
		{"no claim", "Deployment", "", "volumes: [{name: data, persistentVolumeClaim: {claimName: gone}}]", drift.Progressing, `persistentvolumeclaim "gone" not found`},
		{"quota", "StatefulSet", "", "", drift.Failed, "exceeded quota: small"},
		{"quota", "DaemonSet", "", "", drift.Failed, "exceeded quota: small"},
		{"quota", "Job", "", "", drift.Failed, "exceeded quota: small"},
	} {
		t.Run(c.name+" of a "+c.kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.name == "quota" {
				w.create("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: small, namespace: '{ns}'}\nspec: {hard: {limits.cpu: 100m}}\n")
			}
			w.apply(workload(c.kind, c.annotations, c.more))
			w.eventually("the cause", func() (bool, string) {
				h := w.health()
				return h.Status == c.status && strings.Contains(w.message(), c.message), fmt.Sprintf("%+v", h)
			})
		})
	}
}

// A fix that only takes something away, so that all that it declares is in the
// pods that it replaces, too.
func TestAFixIsNotBlamedForThePodsThatItReplaces(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.apply(workload(kind, "testworld.pawl.dev/ready-after: 1s, testworld.pawl.dev/fail: crash", ""))
			w.healthBecomes(drift.Failed)
			fix := workload(kind, "testworld.pawl.dev/ready-after: 1s", "")
			w.forgetNotices()
			w.apply(fix)
			w.healthBecomes(drift.Progressing)
			w.healthBecomes(drift.Current)
			for _, n := range w.all() {
				if n.Health != nil && n.Health.Status == drift.Failed && n.Release == w.verified(fix).Release().Digest {
					t.Errorf("failed on the way to current: %+v", n.Health)
				}
			}
			// Who returns to the first template is told of its pods again.
			w.apply(workload(kind, "testworld.pawl.dev/ready-after: 1s, testworld.pawl.dev/fail: crash", ""))
			if w.healthBecomes(drift.Failed); !strings.Contains(w.message(), "exit 1") {
				t.Errorf("got %q", w.message())
			}
		})
	}
}

// What is missing may come with a release that leaves the workload as it is. Its
// pods are as they were until their kubelet tries again.
func TestAReleaseIsNotBlamedForPodsThatFailedBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	broken := workload("Deployment", "testworld.pawl.dev/fail: missing-secret", "")
	w.apply(broken)
	w.healthBecomes(drift.Failed)
	_, cause, _ := strings.Cut(w.message(), "; ")
	w.forgetNotices()
	w.apply(broken, configMap("a"))
	w.eventually("the cause, which is no failure yet", func() (bool, string) {
		h := w.health()
		for _, o := range h.Objects {
			if o.Object.Kind == "Deployment" && o.Status == drift.Progressing && strings.HasSuffix(o.Message, cause) {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", h)
	})
	for _, n := range w.all() {
		if n.Health != nil && n.Health.Status == drift.Failed && n.Release == w.verified(broken, configMap("a")).Release().Digest {
			t.Errorf("it is blamed: %+v", n.Health)
		}
	}
	pods, err := w.pods()
	if err != nil || len(pods) != 1 {
		t.Fatal(pods, err)
	}
	if err := w.deletePod(pods[0]); err != nil {
		t.Fatal(err)
	}
	w.healthBecomes(drift.Failed) // with a pod of its own time
}

// A log may hold anything, so that it is read only where that was asked for.
func TestTheEndOfALogIsToldWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	const annotations = `testworld.pawl.dev/fail: crash, testworld.pawl.dev/log: "first\nno such table: orders\n\tat main.go:7\n"`
	for _, kind := range []string{"Deployment", "Job"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for _, wanted := range []bool{true, false} {
				w := newWorld(t)
				w.options.PodLogs = wanted
				w.restart()
				before := w.mark()
				w.apply(workload(kind, annotations, ""))
				if kind == "Deployment" { // told with the first word of the failure
					w.healthBecomes(drift.Failed)
				}
				const end = "; its log ends: first ⏎ no such table: orders ⏎ at main.go:7"
				w.eventually("the cause", func() (bool, string) {
					return strings.Contains(w.message(), "exit 1") && strings.Contains(w.message(), end) == wanted, w.message()
				})
				for _, n := range w.all() {
					if wanted && kind == "Deployment" && n.Health.Status == drift.Failed && !strings.Contains(n.Health.Objects[0].Message, end) {
						t.Errorf("failed without the log: %+v", n.Health)
					}
				}
				for _, e := range w.requestsSince(before) {
					if strings.Contains(e.RequestURI, "/log?") && !wanted {
						t.Errorf("asked for a log: %s", e.RequestURI)
					}
				}
			}
		})
	}
}

// The controller of a StatefulSet waits for a pod that never gets ready, also
// where a fix is to replace it. The fix is told of that pod, and goes on as soon
// as it is deleted: no other release could.
//
// catalogue 120
func TestAFixIsNotCondemnedForAPodThatIsInItsWay(t *testing.T) {
	t.Parallel()
	const hint = "it is of an earlier revision, and the StatefulSet waits for it and does not replace it: unless it gets ready, delete it (kubectl delete pod web-0 -n "
	inOrder := func(annotations string) string {
		return strings.Replace(workload("StatefulSet", annotations, ""), "podManagementPolicy: Parallel", "podManagementPolicy: OrderedReady", 1)
	}
	for _, fails := range []string{"crash", "never-ready"} {
		t.Run(fails, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.apply(inOrder("testworld.pawl.dev/fail: " + fails))
			w.eventually("the bad pod", func() (bool, string) {
				pods, err := w.pods()
				return err == nil && len(pods) == 1 && strings.Contains(w.message(), "pod web-0: "), fmt.Sprint(pods, err, w.message())
			})
			w.settings.HealthTimeout = environments.Duration(3 * time.Second)
			w.forgetNotices()
			w.apply(inOrder("testworld.pawl.dev/ready-after: 1500ms"))
			w.eventually("the pod is named", func() (bool, string) {
				h := w.health()
				return h.Status == drift.Progressing && strings.Contains(w.message(), "pod web-0") && strings.Contains(w.message(), hint), fmt.Sprintf("%+v", h)
			})
			h := w.healthBecomes(drift.Failed)
			if !h.Blocked || !strings.HasPrefix(w.message(), "not ready after 3s: ") || !strings.Contains(w.message(), hint) {
				t.Errorf("got %+v", h)
			}
			// Its time begins when it can begin.
			w.forgetNotices()
			if err := w.deletePod("web-0"); err != nil {
				t.Fatal(err)
			}
			w.healthBecomes(drift.Current)
			for _, n := range w.all() {
				if n.Health != nil && n.Health.Status == drift.Failed && !n.Health.Blocked {
					t.Errorf("failed on the way to current: %+v", n.Health)
				}
			}
		})
	}
}

// A rollout within a tight quota goes on as the pods that it replaces leave.
func TestATightQuotaIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: small, namespace: '{ns}'}\nspec: {hard: {limits.cpu: 2000m}}\n")
	rolls := func(annotations string) string {
		return strings.Replace(workload("Deployment", annotations, ""), "spec:\n", "spec:\n  replicas: 2\n  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}\n", 1)
	}
	w.apply(rolls("testworld.pawl.dev/ready-after: 100ms"))
	w.healthBecomes(drift.Current)
	w.forgetNotices()
	w.apply(rolls("testworld.pawl.dev/ready-after: 200ms"))
	w.eventually("the cause", func() (bool, string) {
		return strings.Contains(w.message(), "; waits for quota: FailedCreate: ") && strings.Contains(w.message(), "exceeded quota: small"), w.message()
	})
	w.edit("ResourceQuota/small", `{"spec": {"hard": {"limits.cpu": "3000m"}}}`) // as if another pod left
	w.healthBecomes(drift.Current)
	for _, n := range w.all() {
		if n.Health != nil && n.Health.Status == drift.Failed {
			t.Errorf("failed on the way to current: %+v", n.Health)
		}
	}
}
