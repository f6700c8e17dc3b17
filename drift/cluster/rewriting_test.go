package cluster_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// rewritings are the notices of declared fields that admission changed.
func (w *world) rewritings() (found []drift.Drift) {
	for _, d := range w.drifts() {
		var r *drift.Rewriting
		if errors.As(d.Err, &r) {
			found = append(found, d)
		}
	}
	return found
}

const threeReplicas = `JSONPatch{op: "replace", path: "/spec/replicas", value: 3}`

// catalogue 50
func TestADeclaredFieldThatAdmissionChangesIsToldAndPutBackOnceAdmissionIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := w.admission("deployments", threeReplicas, deployment("probe", 1, ""), "replicas:3")
	release := []string{deployment("web", 1, ""), configMap("a", "k", "1")}
	w.apply(release...)
	w.eventually("the rewriting to be told", func() (bool, string) { return len(w.rewritings()) > 0, fmt.Sprintf("%+v", w.drifts()) })
	told := w.rewritings()[0]
	if want := (drift.Change{Path: "spec.replicas", From: "3", To: "1"}); len(told.Changes) != 1 || told.Changes[0] != want || !told.CorrectedAt.IsZero() {
		t.Errorf("got %+v", told)
	}
	if want := "spec.replicas is declared as 1 and became 3; changed by an admission webhook or policy when it was applied"; !strings.Contains(told.Err.Error(), want) {
		t.Errorf("got %v", told.Err)
	}

	// As long as admission does the same, nothing is written, and it is not
	// passed over either.
	w.healthBecomes(drift.Current)
	before := w.mark()
	w.apply(release...)
	if writes := w.writesSince(before); len(writes) > 0 {
		t.Errorf("admission does what it did, and it was written: %v", writes)
	}
	plan, err := w.cluster.Plan(t.Context(), w.verified(release...), drift.Terms{})
	if err != nil || plan.Count(drift.Unchanged) != 2 || !strings.Contains(fmt.Sprint(plan.Steps), "spec.replicas is declared as 1 and became 3") {
		t.Errorf("got %+v, %v", plan.Steps, err)
	}
	if n := len(w.rewritings()); n != 1 {
		t.Errorf("told %d times", n)
	}
	w.restart()
	w.apply(release...)
	w.eventually("a new process to tell it", func() (bool, string) { return len(w.rewritings()) == 1, fmt.Sprintf("%+v", w.drifts()) })

	stop()
	plan, err = w.cluster.Plan(t.Context(), w.verified(release...), drift.Terms{})
	if err != nil || plan.Count(drift.Configure) != 1 || !strings.Contains(fmt.Sprint(plan.Steps), "{spec.replicas 3 1}") {
		t.Errorf("got %+v, %v", plan.Steps, err)
	}
	w.apply(deployment("web", 1, ""), configMap("a", "k", "2"))
	if got := w.replicas("web"); got != 1 {
		t.Errorf("admission is gone, and there are %v replicas", got)
	}
	w.eventually("that it was put back to be told", func() (bool, string) {
		all := w.drifts()
		last := all[len(all)-1]
		return !last.CorrectedAt.IsZero() && last.Changes[0].Path == "spec.replicas", fmt.Sprintf("%+v", last)
	})
	plan, err = w.cluster.Plan(t.Context(), w.verified(deployment("web", 1, ""), configMap("a", "k", "2")), drift.Terms{})
	if err != nil || plan.Count(drift.Unchanged) != 2 {
		t.Errorf("got %+v, %v", plan.Steps, err)
	}
}

// catalogue 50
func TestADeclaredFieldThatAdmissionChangesLaterIsToldAndNotFoughtFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"))
	stop := w.admission("configmaps", `JSONPatch{op: "replace", path: "/data/k", value: "mutated"}`, configMap("probe", "k", "1"), "mutated")
	before := w.mark()
	w.edit("ConfigMap/a", `{"metadata":{"labels":{"x":"y"}}}`) // whose request admission changes
	w.eventually("the rewriting to be told", func() (bool, string) { return len(w.rewritings()) == 1, fmt.Sprintf("%+v", w.drifts()) })
	w.edit("ConfigMap/a", `{"metadata":{"labels":{"x":"z"}}}`)
	w.edit("ConfigMap/a", `{"data":{"k":"3"}}`)
	// The first edit made it differ, the last one took the field over: each is
	// answered once, and then nothing is tried any more.
	patches := func() (of controlplane.Events) {
		for _, e := range w.writesSince(before) {
			if e.Name == "a" && e.Namespace == w.namespace {
				of = append(of, e)
			}
		}
		return of
	}
	w.eventually("the field to be taken back", func() (bool, string) {
		all := patches()
		return len(all) >= 2, fmt.Sprint(all)
	})
	w.eventually("nothing to be left to do", func() (bool, string) {
		plan, err := w.cluster.Plan(t.Context(), w.verified(configMap("a", "k", "1")), drift.Terms{})
		return err == nil && plan.Count(drift.Unchanged) == 1, fmt.Sprint(plan.Steps, err)
	})
	w.apply(configMap("a", "k", "1"))
	w.edit("ConfigMap/a", `{"metadata":{"labels":{"x":"y"}}}`)
	w.apply(configMap("a", "k", "1"))
	if all := patches(); len(all) > 2 {
		t.Errorf("it was fought for: %v", all)
	}
	if n := len(w.rewritings()); n != 1 {
		t.Errorf("told %d times", n)
	}
	stop()
	w.restart()
	w.apply(configMap("a", "k", "1"))
	if data := w.get("ConfigMap/a").Object["data"].(map[string]any); data["k"] != "1" {
		t.Errorf("admission is gone, and it is %v", data)
	}
}

// What the API server itself makes of values is not taken for admission.
func TestTheAPIServersOwnWayOfWritingIsNoRewriting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := []string{
		`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: '{ns}', annotations: {}, creationTimestamp: null}
spec:
  replicas: 0
  minReadySeconds: 0
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: "25%"}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, creationTimestamp: null}
    spec:
      hostNetwork: false
      nodeSelector: {}
      tolerations: []
      initContainers: []
      securityContext: {}
      dnsConfig: {options: [{name: ndots, value: "2"}]}
      containers:
      - name: web
        image: ghcr.io/acme/web@` + digestA + `
        args: [--timeout=0060s, ""]
        env: [{name: A, value: ""}, {name: B, value: "1000m"}, {name: C, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: "1000m"}}}]
        ports: [{containerPort: 8080, name: http, hostPort: 0}, {containerPort: 8080, protocol: UDP, name: udp}]
        resources: {requests: {cpu: 1000m, memory: 1024Mi}, limits: {cpu: 2.0, memory: "2147483648"}}
        readinessProbe: {httpGet: {path: /, port: http}, timeoutSeconds: 0, periodSeconds: 0}
        volumeMounts: [{name: tmp, mountPath: /tmp, readOnly: false}]
      volumes: [{name: tmp, emptyDir: {sizeLimit: 1024Mi}}, {name: c, configMap: {name: a, defaultMode: 0420}}]
`,
		"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: '{ns}'}\nspec:\n  type: ClusterIP\n  clusterIP: ''\n  externalIPs: []\n  ipFamilyPolicy: SingleStack\n  selector: {app: web}\n  ports: [{port: 80, targetPort: 0, nodePort: 0, name: http}, {port: 81, targetPort: http, name: two}]\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: '{ns}'}\ntype: ''\nstringData: {k: v, empty: ''}\ndata:\n  b: |\n    aGVs\n    bG8=\n",
		"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: p, namespace: '{ns}'}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1024Mi}}}\n",
		"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q, namespace: '{ns}'}\nspec: {hard: {requests.cpu: 4000m, pods: 0.5k, memory: 1024Gi}}\n",
		configMap("a", "k", "", "q", "1000m", "d", "60s"),
	}
	w.apply(release...)
	// The Deployment's controller annotates it, and so takes the empty annotations
	// over, which costs one write.
	w.eventually("what is as it was applied not to be written or tried again", func() (bool, string) {
		before := w.mark()
		w.apply(release...)
		writes := w.writesSince(before)
		return len(writes) == 0, fmt.Sprint(writes)
	})
	if found := w.rewritings(); len(found) > 0 {
		t.Errorf("got %+v", found)
	}
}
