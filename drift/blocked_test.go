package drift

import "testing"

// catalogue 120
func TestAPodOfAnEarlierRevisionThatIsInTheWayIsNamed(t *testing.T) {
	t.Parallel()
	const (
		ready   = `conditions: [{type: Ready, status: "True"}]`
		unready = `conditions: [{type: Ready, status: "False"}]`
		crashes = `containerStatuses: [{name: w, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1}}}]`
	)
	set := func(spec string) string {
		return `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: shop, uid: u, generation: 3}, spec: {` + spec + `}, status: {observedGeneration: 3, updateRevision: db-3}}`
	}
	pod := func(name, revision, status string) string {
		return `{apiVersion: v1, kind: Pod, metadata: {name: ` + name + `, uid: of-` + name + `, labels: {controller-revision-hash: ` + revision + `, pod-template-generation: ` + revision + `}, ownerReferences: [{kind: StatefulSet, name: db, uid: u, controller: true}]}, status: {` + status + `}}`
	}
	const inOrder = `podManagementPolicy: OrderedReady, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}`
	const gone = `it is of an earlier revision, and the StatefulSet waits for it and does not replace it: unless it gets ready, delete it (kubectl delete pod db-1 -n shop)`
	for name, c := range map[string]struct {
		workload string
		pods     []string
		want     string
	}{
		"it crashes":          {set(inOrder), []string{pod("db-0", "db-1", ready), pod("db-1", "db-2", crashes)}, "pod db-1: CrashLoopBackOff: exit 1; " + gone},
		"it never gets ready": {set(inOrder), []string{pod("db-0", "db-1", ready), pod("db-1", "db-2", unready)}, "pod db-1 is not ready; " + gone},
		"by default, too":     {set(""), []string{pod("db-1", "db-2", unready)}, "pod db-1 is not ready; " + gone},
		"the lowest is waited for": {set(inOrder), []string{pod("db-10", "db-2", crashes), pod("db-2", "db-2", unready)},
			"pod db-2 is not ready; it is of an earlier revision, and the StatefulSet waits for it and does not replace it: unless it gets ready, delete it (kubectl delete pod db-2 -n shop)"},
		"the warning is told": {set(inOrder), []string{pod("db-7", "db-2", unready)},
			"pod db-7: Unhealthy: Readiness probe failed; it is of an earlier revision, and the StatefulSet waits for it and does not replace it: unless it gets ready, delete it (kubectl delete pod db-7 -n shop)"},
		"one of the present comes first":  {set(inOrder), []string{pod("db-0", "db-3", crashes), pod("db-1", "db-2", crashes)}, ""},
		"it is being replaced":            {set(inOrder), []string{`{apiVersion: v1, kind: Pod, metadata: {name: db-1, deletionTimestamp: "2026-11-20T10:00:00Z", labels: {controller-revision-hash: db-2}, ownerReferences: [{kind: StatefulSet, name: db, uid: u, controller: true}]}, status: {` + unready + `}}`}, ""},
		"it has ended":                    {set(inOrder), []string{pod("db-1", "db-2", "phase: Failed, "+unready)}, ""},
		"it is another's":                 {set(inOrder), []string{`{apiVersion: v1, kind: Pod, metadata: {name: db-1, labels: {controller-revision-hash: db-2}, ownerReferences: [{kind: StatefulSet, name: db, uid: other, controller: true}]}, status: {` + unready + `}}`}, ""},
		"in parallel it is replaced":      {set(`podManagementPolicy: Parallel`), []string{pod("db-1", "db-2", crashes)}, ""},
		"the fix was not seen yet":        {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, uid: u, generation: 4}, status: {observedGeneration: 3, updateRevision: db-3}}`, []string{pod("db-1", "db-2", crashes)}, ""},
		"all are ready":                   {set(inOrder), []string{pod("db-0", "db-2", ready), pod("db-1", "db-3", ready)}, ""},
		"a StatefulSet replaced by hand":  {set(`podManagementPolicy: Parallel, updateStrategy: {type: OnDelete}`), []string{pod("db-0", "db-3", unready), pod("db-1", "db-2", crashes)}, "pod db-1: CrashLoopBackOff: exit 1; it is of an earlier revision, and the StatefulSet does not replace it (OnDelete): unless it gets ready, delete it (kubectl delete pod db-1 -n shop)"},
		"below the partition it stays so": {set(`updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}`), []string{pod("db-1", "db-2", unready)}, "pod db-1 is not ready; it is below the partition, which leaves it at an earlier revision, and the StatefulSet waits for it"},
		"a DaemonSet replaced by hand": {`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: db, namespace: shop, uid: u, annotations: {deprecated.daemonset.template.generation: "3"}}, spec: {updateStrategy: {type: OnDelete}}}`, []string{pod("db-1", `"2"`, unready)},
			"pod db-1 is not ready; it is of an earlier revision, and the DaemonSet does not replace it (OnDelete): unless it gets ready, delete it (kubectl delete pod db-1 -n shop)"},
		"a DaemonSet that rolls": {`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: db, namespace: shop, uid: u, annotations: {deprecated.daemonset.template.generation: "3"}}, spec: {updateStrategy: {type: RollingUpdate}}}`, []string{pod("db-1", `"2"`, unready)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live := Observe(object(t, c.workload))
			w := Workload{ID: live.Health.Object, UID: live.UID, Rollout: live.Rollout, Replaces: live.Replaces}
			var pods []Pod
			for _, p := range c.pods {
				pods = append(pods, PodOf(object(t, p)))
			}
			got, blocked := Blocked(w, pods, map[string]Warning{"of-db-7": {Reason: "Unhealthy", Message: "Readiness probe failed"}})
			if got.Message != c.want || blocked != (c.want != "") || got.Blocks != blocked || got.Fatal {
				t.Errorf("got %+v, %v\nwant %s", got, blocked, c.want)
			}
		})
	}
}

func TestATimeOutIsBlockedWhereNothingElseFailed(t *testing.T) {
	t.Parallel()
	waits, blocked, failed := ObjectHealth{Status: Progressing}, ObjectHealth{Status: Progressing, Blocked: true}, ObjectHealth{Status: Failed}
	for name, c := range map[string]struct {
		objects []ObjectHealth
		want    bool
	}{
		"one is":                     {[]ObjectHealth{blocked, waits}, true},
		"none is":                    {[]ObjectHealth{waits}, false},
		"another failed of itself":   {[]ObjectHealth{blocked, failed}, false},
		"all others are as declared": {[]ObjectHealth{{Status: Current}, blocked}, true},
	} {
		if late := Combine(c.objects).TimeOut("5m"); late.Blocked != c.want || late.Status != Failed {
			t.Errorf("%s: got %+v", name, late)
		}
	}
}
