package drift

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAssess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		object  string
		status  HealthStatus
		message string
	}{
		"a ConfigMap is there": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}`, Current, ""},
		"being deleted":        {`{apiVersion: v1, kind: ConfigMap, metadata: {name: c, deletionTimestamp: "2026-11-20T10:00:00Z"}}`, Progressing, "is being deleted"},

		"a Deployment nobody looked at yet":  {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w, generation: 1}, spec: {replicas: 2}}`, Progressing, "0 of 2 pods made"},
		"a Deployment that was just changed": {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w, generation: 2}, spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1, readyReplicas: 1}}`, Progressing, "Deployment generation is 2, but latest observed generation is 1"},
		"a Deployment without ready pods":    {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {replicas: 2}, status: {replicas: 2, updatedReplicas: 2}}`, Progressing, "0 of 2 pods available"},
		"a Deployment that serves":           {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {replicas: 1}, status: {replicas: 1, updatedReplicas: 1, availableReplicas: 1, readyReplicas: 1, conditions: [{type: Available, status: "True"}, {type: Progressing, status: "True", reason: NewReplicaSetAvailable}]}}`, Current, ""},
		"a Deployment past its deadline":     {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {replicas: 1, progressDeadlineSeconds: 5}, status: {conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded, message: ReplicaSet "w-1" has timed out progressing.}]}}`, Failed, `Progress deadline exceeded: ReplicaSet "w-1" has timed out progressing.`},
		"a Deployment over its quota":        {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {replicas: 1}, status: {conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate, message: "pods \"w-1\" is forbidden: exceeded quota: small"}]}}`, Failed, `FailedCreate: pods "w-1" is forbidden: exceeded quota: small`},

		"a Job that runs":        {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, status: {startTime: "2026-11-20T10:00:00Z", active: 1}}`, Progressing, "has not completed yet"},
		"a Job that is complete": {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, status: {conditions: [{type: Complete, status: "True"}]}}`, Current, ""},
		"a Job that failed":      {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, status: {conditions: [{type: Failed, status: "True", reason: BackoffLimitExceeded, message: Job has reached the specified backoff limit}]}}`, Failed, "BackoffLimitExceeded: Job has reached the specified backoff limit"},
		"a Job that is put off":  {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {suspend: true}}`, Current, ""},

		"a Pod that failed":            {`{apiVersion: v1, kind: Pod, metadata: {name: p}, status: {phase: Failed, message: Evicted}}`, Failed, "failed Evicted"},
		"a Pod that cannot pull":       {`{apiVersion: v1, kind: Pod, metadata: {name: p}, status: {phase: Pending, containerStatuses: [{name: w, state: {waiting: {reason: ImagePullBackOff}}}]}}`, Failed, "pod p: ImagePullBackOff"},
		"a definition not served yet":  {`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: w}}`, Progressing, "Install in progress"},
		"a custom resource, not ready": {`{apiVersion: acme.io/v1, kind: Widget, metadata: {name: w}, status: {conditions: [{type: Ready, status: "False", reason: Waiting, message: for a key}]}}`, Progressing, "for a key"},
		"a custom resource, stalled":   {`{apiVersion: acme.io/v1, kind: Widget, metadata: {name: w}, status: {conditions: [{type: Stalled, status: "True", reason: Broken, message: no key}]}}`, Failed, "no key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := object(t, c.object)
			want := ObjectHealth{Object: IDOf(obj), Status: c.status, Message: c.message}
			if diff := cmp.Diff(want, Assess(obj, nil)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCombineTakesTheWorst(t *testing.T) {
	t.Parallel()
	of := func(states ...HealthStatus) Health {
		var objects []ObjectHealth
		for _, s := range states {
			objects = append(objects, ObjectHealth{Object: web, Status: s, Message: "0 of 1 pods ready"})
		}
		return Combine(objects)
	}
	for want, states := range map[HealthStatus][]HealthStatus{
		Current:     {Current, Current},
		Progressing: {Current, Progressing, Current},
		Failed:      {Progressing, Failed, Current},
	} {
		if got := of(states...).Status; got != want {
			t.Errorf("%v together are %s, want %s", states, got, want)
		}
	}
	late := of(Progressing, Current).TimeOut("5m")
	if late.Status != Failed || late.Objects[0].Message != "not ready after 5m: 0 of 1 pods ready" || late.Objects[1].Status != Current {
		t.Errorf("got %+v", late)
	}
}

func TestCauseOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status string
		want   Cause
		none   bool
	}{
		"runs":           {`{phase: Running, containerStatuses: [{name: w, ready: true, state: {running: {}}}]}`, Cause{}, true},
		"starts":         {`{phase: Pending, containerStatuses: [{name: w, state: {waiting: {reason: ContainerCreating}}}]}`, Cause{}, true},
		"cannot pull":    {`{containerStatuses: [{name: w, state: {waiting: {reason: ErrImagePull, message: "manifest unknown"}}}]}`, Cause{"pod web-1-x: ErrImagePull: manifest unknown", true}, false},
		"init crashes":   {`{initContainerStatuses: [{name: i, state: {waiting: {reason: CrashLoopBackOff, message: "back-off 10s"}}, lastState: {terminated: {exitCode: 1, reason: Error, message: "no such table"}}}]}`, Cause{"pod web-1-x: CrashLoopBackOff: exit 1: no such table: back-off 10s", true}, false},
		"out of memory":  {`{containerStatuses: [{name: w, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled}}}]}`, Cause{"pod web-1-x: CrashLoopBackOff: exit 137 OOMKilled", true}, false},
		"no such secret": {`{containerStatuses: [{name: w, state: {waiting: {reason: CreateContainerConfigError, message: "secret \"db\" not found"}}}]}`, Cause{`pod web-1-x: CreateContainerConfigError: secret "db" not found`, true}, false},
		"a job's, ended": {`{phase: Failed, containerStatuses: [{name: w, state: {terminated: {exitCode: 0}}}, {name: x, state: {terminated: {exitCode: 3, reason: Error, message: "migration 12: no such column"}}}]}`, Cause{"pod web-1-x: failed: exit 3: migration 12: no such column", false}, false},
		"evicted":        {`{phase: Failed, reason: Evicted, message: "The node was low on resource: memory."}`, Cause{"pod web-1-x: failed: Evicted: The node was low on resource: memory.", false}, false},
		"has no node":    {`{phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/3 nodes are available: 3 Insufficient cpu."}]}`, Cause{"pod web-1-x: no node for it yet: 0/3 nodes are available: 3 Insufficient cpu.", false}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := object(t, `{apiVersion: v1, kind: Pod, metadata: {name: web-1-x, namespace: shop}, status: `+c.status+`}`)
			got, ok := CauseOf(pod)
			if ok == c.none || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, ok, c.want)
			}
		})
	}
}

func TestPodsOfAnEarlierTemplateDoNotCount(t *testing.T) {
	t.Parallel()
	workload := object(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}, annotations: {checksum: b}}
    spec:
      containers: [{name: web, image: web:2, env: [{name: A, value: "1"}]}]
`)
	const pod = `
apiVersion: v1
kind: Pod
metadata:
  name: web-1-x
  namespace: shop
  labels: {app: web, pod-template-hash: "1"}
  annotations: {checksum: b, injected: "yes"}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: u, controller: true}]
spec:
  containers:
  - {name: proxy, image: envoy}
  - {name: web, image: web:2, env: [{name: A, value: "1"}, {name: INJECTED, value: x}], imagePullPolicy: IfNotPresent}
`
	for name, c := range map[string]struct {
		from, to      string
		owned, runsIt bool
	}{
		"of the template, with what admission added": {"", "", true, true},
		"with the image before":                      {"image: web:2", "image: web:1", true, false},
		"with the environment before":                {`value: "1"`, `value: "0"`, true, false},
		"with the annotation before":                 {"checksum: b", "checksum: a", true, false},
		"of another workload":                        {"name: web-1,", "name: web-api-1,", false, true},
		"of nobody":                                  {"controller: true", "controller: false", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := object(t, replaced(t, pod, c.from, c.to))
			if got := OwnedBy(p, IDOf(workload)); got != c.owned {
				t.Errorf("OwnedBy is %v", got)
			}
			if got := RunsTemplate(p, workload); got != c.runsIt {
				t.Errorf("RunsTemplate is %v", got)
			}
		})
	}
}
