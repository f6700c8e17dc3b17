package drift

import (
	"testing"
	"time"

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
		"held by a finalizer":  {`{apiVersion: v1, kind: ConfigMap, metadata: {name: c, deletionTimestamp: "2026-11-20T10:00:00Z", finalizers: [acme.io/x]}}`, Progressing, "is being deleted, and its finalizer holds it: acme.io/x"},
		"held by two":          {`{apiVersion: v1, kind: ConfigMap, metadata: {name: c, deletionTimestamp: "2026-11-20T10:00:00Z", finalizers: [acme.io/x, acme.io/y]}}`, Progressing, "is being deleted, and its finalizers hold it: acme.io/x, acme.io/y"},

		"a Deployment nobody looked at yet":  {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w, generation: 1}, spec: {replicas: 2}}`, Progressing, "0 of 2 pods made"},
		"a Deployment that was just changed": {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w, generation: 2}, spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1, readyReplicas: 1}}`, Progressing, "Deployment generation is 2, but latest observed generation is 1"},
		"a Deployment without ready pods":    {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {replicas: 2}, status: {replicas: 2, updatedReplicas: 2}}`, Progressing, "0 of 2 pods available"},
		"a Deployment that serves":           {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {replicas: 1}, status: {replicas: 1, updatedReplicas: 1, availableReplicas: 1, readyReplicas: 1, conditions: [{type: Available, status: "True"}, {type: Progressing, status: "True", reason: NewReplicaSetAvailable}]}}`, Current, ""},
		"a Deployment past its deadline":     {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {replicas: 1, progressDeadlineSeconds: 5}, status: {conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded, message: ReplicaSet "w-1" has timed out progressing.}]}}`, Failed, `Progress deadline exceeded: ReplicaSet "w-1" has timed out progressing.`},
		"a Deployment over its quota":        {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {replicas: 1}, status: {conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate, message: "pods \"w-1\" is forbidden: exceeded quota: small"}]}}`, Progressing, "0 of 1 pods made"},

		"a Job that runs":        {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, status: {startTime: "2026-11-20T10:00:00Z", active: 1}}`, Progressing, "has not completed yet"},
		"a Job that is complete": {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, status: {conditions: [{type: Complete, status: "True"}]}}`, Current, ""},
		"a Job that failed":      {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, status: {conditions: [{type: Failed, status: "True", reason: BackoffLimitExceeded, message: Job has reached the specified backoff limit}]}}`, Failed, "BackoffLimitExceeded: Job has reached the specified backoff limit"},
		"a Job that is put off":  {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {suspend: true}}`, Current, ""},

		"a Pod that failed":                   {`{apiVersion: v1, kind: Pod, metadata: {name: p}, status: {phase: Failed, message: Evicted}}`, Failed, "failed Evicted"},
		"a Pod that cannot pull":              {`{apiVersion: v1, kind: Pod, metadata: {name: p}, status: {phase: Pending, containerStatuses: [{name: w, state: {waiting: {reason: ImagePullBackOff}}}]}}`, Failed, "pod p: ImagePullBackOff"},
		"a definition not served yet":         {`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: w}}`, Progressing, "Install in progress"},
		"a definition whose names are taken":  {`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: w}, status: {conditions: [{type: NamesAccepted, status: "False", reason: PluralConflict, message: '"widgets" is already in use'}, {type: Established, status: "False", reason: NotAccepted, message: not all names are accepted}]}}`, Failed, `"widgets" is already in use`},
		"a definition whose path is prepared": {`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: w}, status: {conditions: [{type: NamesAccepted, status: "True"}, {type: Established, status: "False", reason: Installing, message: the initial names have been accepted}]}}`, Progressing, "Install in progress"},
		"a custom resource, not ready":        {`{apiVersion: acme.io/v1, kind: Widget, metadata: {name: w}, status: {conditions: [{type: Ready, status: "False", reason: Waiting, message: for a key}]}}`, Progressing, "for a key"},
		"a custom resource, stalled":          {`{apiVersion: acme.io/v1, kind: Widget, metadata: {name: w}, status: {conditions: [{type: Stalled, status: "True", reason: Broken, message: no key}]}}`, Failed, "no key"},

		"a Job that a policy failed":               {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {podFailurePolicy: {}}, status: {active: 1, conditions: [{type: FailureTarget, status: "True", reason: PodFailurePolicy, message: Container m for pod shop/j-x failed with exit code 42 matching FailJob rule at index 0}]}}`, Failed, "PodFailurePolicy: Container m for pod shop/j-x failed with exit code 42 matching FailJob rule at index 0"},
		"a Job that has what it needs":             {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {successPolicy: {}}, status: {active: 1, succeeded: 1, conditions: [{type: SuccessCriteriaMet, status: "True", reason: SuccessPolicy}]}}`, Progressing, "has not completed yet"},
		"a Job with indexes that failed":           {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {backoffLimitPerIndex: 1, completions: 3, completionMode: Indexed}, status: {active: 1, failedIndexes: "1"}}`, Progressing, "has not completed yet"},
		"a Job whose indexes have all ended":       {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {backoffLimitPerIndex: 1}, status: {failedIndexes: "1", conditions: [{type: Failed, status: "True", reason: FailedIndexes, message: Job has failed indexes}]}}`, Failed, "FailedIndexes: Job has failed indexes"},
		"a CronJob":                                {`{apiVersion: batch/v1, kind: CronJob, metadata: {name: c}, spec: {suspend: true}}`, Current, ""},
		"a StatefulSet replaced by hand, no pods":  {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {replicas: 2, updateStrategy: {type: OnDelete}}, status: {replicas: 1, readyReplicas: 1}}`, Progressing, "1 of 2 pods made"},
		"a StatefulSet replaced by hand":           {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {replicas: 2, updateStrategy: {type: OnDelete}}, status: {replicas: 2, readyReplicas: 2, currentReplicas: 2, currentRevision: s-1, updateRevision: s-2}}`, Current, ""},
		"a StatefulSet up to its partition":        {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {replicas: 3, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}}, status: {replicas: 3, readyReplicas: 3, currentReplicas: 2, updatedReplicas: 1, currentRevision: s-1, updateRevision: s-2}}`, Current, ""},
		"a StatefulSet before its partition":       {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {replicas: 3, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}}, status: {replicas: 3, readyReplicas: 3, currentReplicas: 2, updatedReplicas: 1, currentRevision: s-1, updateRevision: s-2}}`, Progressing, "1 of 2 pods updated"},
		"a DaemonSet replaced by hand":             {`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, generation: 2}, spec: {updateStrategy: {type: OnDelete}}, status: {observedGeneration: 2, desiredNumberScheduled: 2, currentNumberScheduled: 2, numberAvailable: 2, numberReady: 2}}`, Current, ""},
		"a DaemonSet replaced by hand, not ready":  {`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, generation: 2}, spec: {updateStrategy: {type: OnDelete}}, status: {observedGeneration: 2, desiredNumberScheduled: 2, currentNumberScheduled: 2, numberAvailable: 1, numberReady: 1}}`, Progressing, "1 of 2 pods available"},
		"a DaemonSet that rolls":                   {`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, generation: 2}, status: {observedGeneration: 2, desiredNumberScheduled: 2, currentNumberScheduled: 2, numberAvailable: 2, numberReady: 2}}`, Progressing, "0 of 2 pods updated"},
		"a Deployment that is paused, as declared": {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {paused: true, replicas: 1, progressDeadlineSeconds: 600}, status: {replicas: 1, updatedReplicas: 1, availableReplicas: 1, readyReplicas: 1, conditions: [{type: Available, status: "True"}, {type: Progressing, status: Unknown, reason: DeploymentPaused}]}}`, Current, ""},
		"a Deployment that is paused before":       {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: w}, spec: {paused: true, replicas: 1, progressDeadlineSeconds: 600}, status: {replicas: 1, availableReplicas: 1, readyReplicas: 1, conditions: [{type: Available, status: "True"}]}}`, Progressing, "0 of 1 pods updated"},
		"a claim that waits for a pod":             {`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, status: {phase: Pending}}`, Current, ""},
		"a claim whose volume is being made":       {`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, annotations: {volume.kubernetes.io/storage-provisioner: ebs.csi.aws.com}}, status: {phase: Pending}}`, Progressing, "PVC is not Bound. phase: Pending"},
		"a claim without its volume":               {`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, status: {phase: Lost}}`, Failed, "its volume is lost"},
		"a budget that allows nothing":             {`{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b, generation: 1}, status: {observedGeneration: 1, disruptionsAllowed: 0, conditions: [{type: DisruptionAllowed, status: "False", reason: InsufficientPods}]}}`, Current, ""},
		"an Ingress without an address":            {`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i}, status: {loadBalancer: {}}}`, Current, ""},
		"a Service without an external address":    {`{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: LoadBalancer, clusterIP: 10.0.0.1}, status: {loadBalancer: {}}}`, Current, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := object(t, c.object)
			want := ObjectHealth{Object: IDOf(obj), Status: c.status, Message: c.message, Gone: obj.GetDeletionTimestamp() != nil}
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
		"cannot pull":    {`{containerStatuses: [{name: w, state: {waiting: {reason: ErrImagePull, message: "manifest unknown"}}}]}`, Cause{Message: "pod web-1-x: ErrImagePull: manifest unknown", Fatal: true}, false},
		"init crashes":   {`{initContainerStatuses: [{name: i, state: {waiting: {reason: CrashLoopBackOff, message: "back-off 10s"}}, lastState: {terminated: {exitCode: 1, reason: Error, message: "no such table"}}}]}`, Cause{Message: "pod web-1-x: CrashLoopBackOff: exit 1: no such table: back-off 10s", Fatal: true}, false},
		"out of memory":  {`{containerStatuses: [{name: w, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled}}}]}`, Cause{Message: "pod web-1-x: CrashLoopBackOff: exit 137 OOMKilled", Fatal: true}, false},
		"no such secret": {`{containerStatuses: [{name: w, state: {waiting: {reason: CreateContainerConfigError, message: "secret \"db\" not found"}}}]}`, Cause{Message: `pod web-1-x: CreateContainerConfigError: secret "db" not found`, Fatal: true}, false},
		"a job's, ended": {`{phase: Failed, containerStatuses: [{name: w, state: {terminated: {exitCode: 0}}}, {name: x, state: {terminated: {exitCode: 3, reason: Error, message: "migration 12: no such column"}}}]}`, Cause{Message: "pod web-1-x: failed: exit 3: migration 12: no such column", Fatal: false}, false},
		"evicted":        {`{phase: Failed, reason: Evicted, message: "The node was low on resource: memory."}`, Cause{Message: "pod web-1-x: failed: Evicted: The node was low on resource: memory.", Fatal: false}, false},
		"has no node":    {`{phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/3 nodes are available: 3 Insufficient cpu."}]}`, Cause{Message: "pod web-1-x: no node for it yet: 0/3 nodes are available: 3 Insufficient cpu.", Fatal: false}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := object(t, `{apiVersion: v1, kind: Pod, metadata: {name: web-1-x, namespace: shop}, status: `+c.status+`}`)
			got, ok := CauseOf(pod)
			got.Crash = Crash{}
			if ok == c.none || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, ok, c.want)
			}
		})
	}
}

// Each controller marks its pods in a way of its own.
func TestPodsOfAnEarlierTemplateDoNotCount(t *testing.T) {
	t.Parallel()
	const crash = `status: {containerStatuses: [{name: w, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1}}}]}`
	revisions := map[string]string{"web-aaa": "1", "web-bbb": "2"}
	for name, c := range map[string]struct {
		workload, pod string
		runs          bool
	}{
		"Deployment, now":              {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, uid: u, generation: 2, annotations: {deployment.kubernetes.io/revision: "2"}}, status: {observedGeneration: 2}}`, `labels: {pod-template-hash: bbb}, ownerReferences: [{kind: ReplicaSet, name: web-bbb, uid: r, controller: true}]`, true},
		"Deployment, before":           {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, uid: u, generation: 2, annotations: {deployment.kubernetes.io/revision: "2"}}, status: {observedGeneration: 2}}`, `labels: {pod-template-hash: aaa}, ownerReferences: [{kind: ReplicaSet, name: web-aaa, uid: r, controller: true}]`, false},
		"Deployment, not seen yet":     {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, uid: u, generation: 3, annotations: {deployment.kubernetes.io/revision: "2"}}, status: {observedGeneration: 2}}`, `labels: {pod-template-hash: bbb}, ownerReferences: [{kind: ReplicaSet, name: web-bbb, uid: r, controller: true}]`, false},
		"Deployment, not known":        {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, uid: u, annotations: {deployment.kubernetes.io/revision: "2"}}}`, `labels: {pod-template-hash: ccc}, ownerReferences: [{kind: ReplicaSet, name: web-ccc, uid: r, controller: true}]`, false},
		"Deployment, another's":        {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, uid: u, annotations: {deployment.kubernetes.io/revision: "2"}}}`, `labels: {pod-template-hash: bbb}, ownerReferences: [{kind: ReplicaSet, name: web-api-bbb, uid: r, controller: true}]`, false},
		"StatefulSet, now":             {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web, uid: u}, status: {updateRevision: web-2}}`, `labels: {controller-revision-hash: web-2}, ownerReferences: [{kind: StatefulSet, name: web, uid: u, controller: true}]`, true},
		"StatefulSet, before":          {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web, uid: u}, status: {updateRevision: web-2}}`, `labels: {controller-revision-hash: web-1}, ownerReferences: [{kind: StatefulSet, name: web, uid: u, controller: true}]`, false},
		"StatefulSet, its predecessor": {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web, uid: u}, status: {updateRevision: web-2}}`, `labels: {controller-revision-hash: web-2}, ownerReferences: [{kind: StatefulSet, name: web, uid: old, controller: true}]`, false},
		"DaemonSet, now":               {`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: web, uid: u, annotations: {deprecated.daemonset.template.generation: "2"}}}`, `labels: {pod-template-generation: "2"}, ownerReferences: [{kind: DaemonSet, name: web, uid: u, controller: true}]`, true},
		"DaemonSet, before":            {`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: web, uid: u, annotations: {deprecated.daemonset.template.generation: "2"}}}`, `labels: {pod-template-generation: "1"}, ownerReferences: [{kind: DaemonSet, name: web, uid: u, controller: true}]`, false},
		"Job":                          {`{apiVersion: batch/v1, kind: Job, metadata: {name: web, uid: u}}`, `ownerReferences: [{kind: Job, name: web, uid: u, controller: true}]`, true},
		"Job, its predecessor":         {`{apiVersion: batch/v1, kind: Job, metadata: {name: web, uid: u}}`, `ownerReferences: [{kind: Job, name: web, uid: old, controller: true}]`, false},
		"Rollout, now":                 {`{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web, uid: u, generation: 2}, status: {observedGeneration: "2", currentPodHash: bbb}}`, `labels: {rollouts-pod-template-hash: bbb}, ownerReferences: [{kind: ReplicaSet, name: web-bbb, uid: r, controller: true}]`, true},
		"Rollout, before":              {`{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web, uid: u, generation: 2}, status: {observedGeneration: "2", currentPodHash: bbb}}`, `labels: {rollouts-pod-template-hash: aaa}, ownerReferences: [{kind: ReplicaSet, name: web-aaa, uid: r, controller: true}]`, false},
		"nobody's":                     {`{apiVersion: batch/v1, kind: Job, metadata: {name: web, uid: u}}`, `ownerReferences: [{kind: Job, name: web, uid: u}]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			workload := object(t, c.workload)
			pod := PodOf(object(t, `{apiVersion: v1, kind: Pod, metadata: {name: web-x, `+c.pod+`}, `+crash+`}`))
			w := Workload{ID: IDOf(workload), UID: string(workload.GetUID()), Rollout: rolloutOf(workload), Revision: func(set string) (string, bool) {
				r, ok := revisions[set]
				return r, ok
			}}
			want := Cause{}
			if c.runs {
				want = Cause{Message: "pod web-x: CrashLoopBackOff: exit 1", Fatal: true, Crash: Crash{Pod: "web-x", Container: "w", Restarts: 2, Previous: true}}
			}
			if got := Explain(w, []Pod{pod}, nil, nil); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestOfSeveralCausesTheWorstIsTold(t *testing.T) {
	t.Parallel()
	w := Workload{ID: ObjectID{Group: "batch", Kind: "Job", Name: "web"}, UID: "u", Rollout: "u"}
	pod := func(name string, cause Cause) Pod {
		return Pod{Name: name, UID: "of " + name, Owner: PodOwner{"Job", "web", "u"}, Cause: cause}
	}
	crash, pull, noNode := Cause{Message: "crash", Fatal: true}, Cause{Message: "pull", Fatal: true}, Cause{Message: "no node"}
	warnings := map[string]Warning{"of a": {Reason: "FailedMount", Message: `configmap "c" not found`}}
	excused := map[Cause]bool{pull: true}
	for name, c := range map[string]struct {
		pods []Pod
		want Cause
	}{
		"none fails":                {nil, Cause{}},
		"only a warning":            {[]Pod{pod("a", Cause{})}, Cause{Message: `pod a: FailedMount: configmap "c" not found`}},
		"a warning of old":          {[]Pod{{Name: "a", UID: "of a", Ready: true, Owner: PodOwner{"Job", "web", "u"}}}, Cause{}},
		"the first of equals":       {[]Pod{pod("b", crash), pod("c", Cause{Message: "x", Fatal: true})}, crash},
		"what needs a change wins":  {[]Pod{pod("a", noNode), pod("b", crash)}, crash},
		"what failed before waits":  {[]Pod{pod("a", pull)}, Cause{Message: "pull"}},
		"but not what is new to it": {[]Pod{pod("a", pull), pod("b", crash)}, crash},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Explain(w, c.pods, warnings, excused); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestWarningsThatExplain(t *testing.T) {
	t.Parallel()
	event := func(kind, reason, more string) string {
		return `{apiVersion: v1, kind: Event, metadata: {name: e}, involvedObject: {kind: ` + kind + `, name: db, uid: u}, reason: ` + reason + `, message: why, ` + more + `}`
	}
	at := time.Date(2026, 11, 20, 10, 0, 7, 0, time.UTC)
	for name, c := range map[string]struct {
		event string
		want  Warning
		tells bool
	}{
		"pods are refused":          {event("StatefulSet", "FailedCreate", `lastTimestamp: "2026-11-20T10:00:07Z"`), Warning{"db", "u", true, "FailedCreate", "why", at}, true},
		"and again":                 {event("DaemonSet", "FailedCreate", `lastTimestamp: "2026-11-20T09:00:00Z", series: {lastObservedTime: "2026-11-20T10:00:07Z"}`), Warning{"db", "u", true, "FailedCreate", "why", at}, true},
		"a volume":                  {event("Pod", "FailedMount", `eventTime: "2026-11-20T10:00:07Z"`), Warning{"db", "u", false, "FailedMount", "why", at}, true},
		"a Deployment's, by status": {event("ReplicaSet", "FailedCreate", ""), Warning{}, false},
		"a crash, by status":        {event("Pod", "BackOff", ""), Warning{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, tells := WarningOf(object(t, c.event), false)
			if tells != c.tells || tells && got != c.want {
				t.Errorf("got %+v, %v", got, tells)
			}
			if _, refused := got.Refusal(at.Add(-time.Second)); refused != (tells && c.want.Refused) {
				t.Errorf("refused is %v", refused)
			}
			if _, refused := got.Refusal(at); refused {
				t.Error("refused, though a pod was made since")
			}
		})
	}
}

// What an exec probe prints may hold anything.
func TestOfAProbeItsKindAndStatusAreTold(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"Readiness probe failed: HTTP probe failed with statuscode: 503":              "Readiness probe failed: HTTP probe failed with statuscode: 503",
		"Liveness probe failed: psql: connecting with password=hunter2":               "Liveness probe failed",
		"Readiness probe failed: HTTP probe failed with statuscode: 503\nhunter2":     "Readiness probe failed",
		"Startup probe errored: rpc error: code = Unknown desc = exec: hunter2":       "Startup probe errored",
		"hunter2: Readiness probe failed: HTTP probe failed with statuscode: 503":     "",
		`Readiness probe failed: Get "http://u:hunter2@10.0.0.1/": dial tcp: refused`: "Readiness probe failed",
	} {
		event := object(t, `{apiVersion: v1, kind: Event, metadata: {name: e}, involvedObject: {kind: Pod, name: db, uid: u}, reason: Unhealthy}`)
		event.Object["message"] = said
		if w, tells := WarningOf(event, false); !tells || w.Message != want {
			t.Errorf("%q is told as %q", said, w.Message)
		}
		if w, _ := WarningOf(event, true); w.Message != said {
			t.Errorf("%q is told as %q where output is wanted", said, w.Message)
		}
	}
}
