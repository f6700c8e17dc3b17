package drift

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/expression"
)

func checkFor(t *testing.T, h environments.HealthCheck) *HealthCheck {
	t.Helper()
	checks, field, err := NewHealthChecks([]environments.HealthCheck{h})
	if err != nil {
		t.Fatal(field, err)
	}
	return checks.For(ObjectID{Group: h.Group(), Kind: h.Kind})
}

// The statuses are those that the projects document.
func TestShippedHealthChecks(t *testing.T) {
	t.Parallel()
	rollout := func(status string) string {
		return `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: r, generation: 2}, spec: {replicas: 1}, status: ` + status + `}`
	}
	canary := func(status string) string {
		return `{apiVersion: flagger.app/v1beta1, kind: Canary, metadata: {name: c, generation: 1}, status: ` + status + `}`
	}
	route := func(generation int, parents string) string {
		return fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r, generation: %d}, spec: {parentRefs: [{name: eg, sectionName: https}]}, status: {parents: [%s]}}`, generation, parents)
	}
	parent := func(name, accepted, resolved string, generation int) string {
		return fmt.Sprintf(`{parentRef: {name: %s}, controllerName: gateway.envoyproxy.io/gatewayclass-controller, conditions: [{type: Accepted, status: "%s", observedGeneration: %d, reason: NoMatchingParent, message: No listeners match this parent ref}, {type: ResolvedRefs, status: "%s", observedGeneration: %[3]d, reason: BackendNotFound, message: BackendRef api not found}]}`, name, accepted, generation, resolved)
	}
	gateway := func(status string) string {
		return `{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g, generation: 1}, status: ` + status + `}`
	}
	scaler := func(status string) string {
		return `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h}` + status + `}`
	}
	byWorkload := func(seen string) string {
		return `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: r, generation: 3, annotations: {rollout.argoproj.io/revision: "1", rollout.argoproj.io/workload-generation: "2"}}, spec: {replicas: 5, workloadRef: {apiVersion: apps/v1, kind: Deployment, name: web}}, status: {observedGeneration: "3", workloadObservedGeneration: "` + seen + `", phase: Healthy}}`
	}
	kafka := func(conditions string) string {
		return `{apiVersion: kafka.strimzi.io/v1beta2, kind: Kafka, metadata: {name: k, generation: 1}, status: {observedGeneration: 1, conditions: [` + conditions + `]}}`
	}
	for name, c := range map[string]struct {
		object  string
		status  HealthStatus
		message string
	}{
		"a Rollout nobody looked at yet": {`{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: r, generation: 1}}`, Progressing, "has no status yet"},
		"a Rollout that was just changed": {rollout(`{observedGeneration: "1", phase: Healthy, replicas: 1}`),
			Progressing, "Rollout generation is 2, but latest observed generation is 1"},
		"a Rollout that goes on": {rollout(`{observedGeneration: "2", phase: Progressing, message: more replicas need to be updated}`),
			Progressing, "Progressing: more replicas need to be updated"},
		"a Rollout that waits for a person": {rollout(`{observedGeneration: "2", phase: Paused, message: CanaryPauseStep, pauseConditions: [{reason: CanaryPauseStep, startTime: "2026-11-20T10:00:00Z"}]}`),
			Progressing, "Paused: CanaryPauseStep"},
		"a Rollout that serves": {rollout(`{observedGeneration: "2", phase: Healthy, currentPodHash: abc, stableRS: abc}`), Current, ""},
		"a Rollout that was aborted": {rollout(`{observedGeneration: "2", phase: Degraded, abort: true, message: 'RolloutAborted: metric "error-rate" assessed Failed'}`),
			Failed, `Degraded: RolloutAborted: metric "error-rate" assessed Failed`},
		"a Rollout that is invalid": {rollout(`{observedGeneration: "2", phase: Degraded, message: 'InvalidSpec: The Rollout "r" is invalid', conditions: [{type: InvalidSpec, status: "True", message: The Rollout is invalid}]}`),
			Failed, `Degraded: InvalidSpec: The Rollout "r" is invalid`},
		"a Rollout of an old version, whose generation is a hash": {rollout(`{observedGeneration: 7d8f9c, phase: Healthy}`), Current, ""},

		"a Canary that begins": {canary(`{phase: Initializing, canaryWeight: 0, failedChecks: 0, iterations: 0, conditions: [{type: Promoted, status: Unknown, reason: Initializing, message: "New Deployment detected, starting initialization."}]}`),
			Progressing, "Initializing: New Deployment detected, starting initialization."},
		"a Canary that is there": {canary(`{phase: Initialized, conditions: [{type: Promoted, status: "True", reason: Initialized, message: Deployment initialization completed.}]}`), Current, ""},
		"a Canary under analysis": {canary(`{phase: Progressing, canaryWeight: 20, conditions: [{type: Promoted, status: Unknown, reason: Progressing, message: "New revision detected, progressing canary analysis."}]}`),
			Progressing, "Progressing: New revision detected, progressing canary analysis."},
		"a Canary that waits for approval": {canary(`{phase: WaitingPromotion}`), Progressing, "is WaitingPromotion"},
		"a Canary that was promoted":       {canary(`{phase: Succeeded, conditions: [{type: Promoted, status: "True", reason: Succeeded, message: "Canary analysis completed successfully, promotion finished."}]}`), Current, ""},
		"a Canary that was taken back": {canary(`{phase: Failed, conditions: [{type: Promoted, status: "False", reason: Failed, message: "Canary analysis failed, Deployment scaled to zero."}]}`),
			Failed, "Failed: Canary analysis failed, Deployment scaled to zero."},

		"a Canary that is back at what was promoted":    {canary(`{phase: Failed, lastAppliedSpec: 658bbf784f, lastPromotedSpec: 658bbf784f, trackedConfigs: {}, conditions: [{type: Promoted, status: "False", reason: Failed, message: failed}]}`), Current, ""},
		"a Canary that failed by its template":          {canary(`{phase: Failed, lastAppliedSpec: 7d9f6c, lastPromotedSpec: 658bbf784f, message: failed}`), Failed, "Failed: failed"},
		"a Canary that may have failed by a ConfigMap":  {canary(`{phase: Failed, lastAppliedSpec: 658bbf784f, lastPromotedSpec: 658bbf784f, trackedConfigs: {configmap/web: 1a2b}, message: failed}`), Failed, "Failed: failed"},
		"a Rollout whose Deployment was just changed":   {byWorkload("1"), Progressing, "is Healthy"},
		"a Rollout that has seen its Deployment":        {byWorkload("2"), Current, ""},
		"a route that is accepted":                      {route(2, parent("eg", "True", "True", 2)), Current, ""},
		"a route without a listener":                    {route(2, parent("eg", "False", "True", 2)), Progressing, "eg: No listeners match this parent ref"},
		"a route without its Service":                   {route(2, parent("eg", "True", "False", 2)), Progressing, "eg: BackendRef api not found"},
		"a route that was just changed":                 {route(3, parent("eg", "True", "True", 2)), Progressing, "is not ready yet"},
		"a route with a refusal that was left behind":   {route(2, parent("eg", "False", "True", 1)+", "+parent("eg", "True", "True", 2)), Current, ""},
		"a route whose parent nobody answers for":       {route(2, ""), Progressing, "is not ready yet"},
		"a route that nobody has looked at":             {`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r, generation: 1}, spec: {parentRefs: [{name: eg}]}}`, Progressing, "has no status yet"},
		"a Gateway that nobody has looked at":           {gateway(`{conditions: [{type: Accepted, status: Unknown, reason: Pending, message: Waiting for controller}, {type: Programmed, status: Unknown, reason: Pending, message: Waiting for controller}]}`), Progressing, "Waiting for controller"},
		"a Gateway that is refused":                     {gateway(`{conditions: [{type: Accepted, status: "False", reason: InvalidParameters, message: no such parameters, observedGeneration: 1}]}`), Failed, "no such parameters"},
		"a Gateway with a listener without certificate": {gateway(`{conditions: [{type: Programmed, status: "True", observedGeneration: 1}], listeners: [{name: https, conditions: [{type: ResolvedRefs, status: "False", reason: InvalidCertificateRef, message: Secret tls not found}]}]}`), Progressing, "https: Secret tls not found"},
		"a Gateway that serves":                         {gateway(`{conditions: [{type: Accepted, status: "True", observedGeneration: 1}, {type: Programmed, status: "True", observedGeneration: 1}], listeners: [{name: https, conditions: [{type: Programmed, status: "True"}]}]}`), Current, ""},
		"an autoscaler that is new":                     {scaler(""), Current, ""},
		"an autoscaler without metrics":                 {scaler(`, status: {conditions: [{type: AbleToScale, status: "True"}, {type: ScalingActive, status: "False", reason: FailedGetResourceMetric, message: no metrics}]}`), Current, ""},
		"an autoscaler of nothing":                      {scaler(`, status: {conditions: [{type: AbleToScale, status: "False", reason: FailedGetScale, message: 'deployments.apps "web" not found'}]}`), Progressing, `deployments.apps "web" not found`},

		"a Kafka that is made":    {kafka(`{type: NotReady, status: "True", reason: Creating, message: Kafka cluster is being deployed}`), Progressing, "is not ready yet"},
		"a Kafka that fails":      {kafka(`{type: NotReady, status: "True", reason: InvalidResourceException, message: no storage}`), Failed, "is not ready yet"},
		"a Kafka that serves":     {kafka(`{type: Ready, status: "True"}`), Current, ""},
		"a sealed secret, broken": {`{apiVersion: bitnami.com/v1alpha1, kind: SealedSecret, metadata: {name: s}, status: {conditions: [{type: Synced, status: "False", message: no key could decrypt secret}]}}`, Failed, "no key could decrypt secret"},
		"a Gateway that was just changed": {`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g, generation: 2}, status: {conditions: [{type: Programmed, status: "True", observedGeneration: 1}]}}`,
			Progressing, "is not ready yet"},
		"an API without a server": {`{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: a}, status: {conditions: [{type: Available, status: "False", reason: MissingEndpoints, message: no endpoints}]}}`, Progressing, "no endpoints"},
		"being deleted":           {`{apiVersion: flagger.app/v1beta1, kind: Canary, metadata: {name: c, deletionTimestamp: "2026-11-20T10:00:00Z"}, status: {phase: Succeeded}}`, Progressing, "is being deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Assess(object(t, c.object), nil); got.Status != c.status || got.Message != c.message {
				t.Errorf("got %s %q, want %s %q", got.Status, got.Message, c.status, c.message)
			}
		})
	}
}

func TestOwnHealthChecksDecide(t *testing.T) {
	t.Parallel()
	const ready = "status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"
	for name, c := range map[string]struct {
		check   environments.HealthCheck
		object  string
		status  HealthStatus
		message string
	}{
		"as in Flux's documentation": {
			environments.HealthCheck{Current: "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'True')", Failed: "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'False')"},
			`{status: {conditions: [{type: Synced, status: "False", message: no key}]}}`, Failed, "no key"},
		"in progress comes first": {
			environments.HealthCheck{InProgress: "status.upgrading", Failed: "true", Current: "true"},
			`{status: {upgrading: true, message: to 16.4}}`, Progressing, "to 16.4"},
		"failed comes before current": {
			environments.HealthCheck{Failed: "status.phase == 'Broken'", Current: "true", Message: "'replica ' + string(status.replica) + ' is lost'"},
			`{status: {phase: Broken, replica: 2}}`, Failed, "replica 2 is lost"},
		"what is neither is on its way":      {environments.HealthCheck{Current: ready}, `{status: {conditions: [{type: Ready, status: "False", message: waits for a disk}]}}`, Progressing, "waits for a disk"},
		"without a status":                   {environments.HealthCheck{Current: ready}, `{}`, Progressing, "has no status yet"},
		"what cannot be told is not current": {environments.HealthCheck{Failed: "status.error != ''", Current: "true"}, `{status: {phase: Running}}`, Progressing, "whether it is failed cannot be told yet: no such key: error"},
		"no truth value":                     {environments.HealthCheck{Current: "status.phase"}, `{status: {phase: Running}}`, Progressing, "whether it is current cannot be told yet: it is a string, not a bool"},
		"a status of an earlier spec":        {environments.HealthCheck{Failed: "true", Current: "true"}, `{metadata: {name: d, generation: 3}, status: {observedGeneration: 2}}`, Progressing, "Database generation is 3, but latest observed generation is 2"},
		"optional fields":                    {environments.HealthCheck{Current: "status.?conditions.orValue([]).exists(c, c.type == 'Ready')"}, `{status: {phase: x}}`, Progressing, "is x"},
		"other fields of the object":         {environments.HealthCheck{Current: "object.result == 'ok' && spec.size > 1.5"}, `{result: ok, spec: {size: 2}}`, Current, ""},
		"a message that cannot be told":      {environments.HealthCheck{Current: "false", Message: "status.detail"}, `{status: {phase: Starting}}`, Progressing, "is Starting"},
		"what would take for ever": {
			environments.HealthCheck{Current: "status.l.all(a, status.l.all(b, status.l.all(c, status.l.all(d, a + b + c + d >= 0))))"},
			`{status: {l: [` + strings.Repeat("1, ", 60) + `1]}}`, Progressing, "whether it is current cannot be told yet: operation cancelled: actual cost limit exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check.APIVersion, c.check.Kind = "acme.dev/v1", "Database"
			o := object(t, strings.Replace(c.object, "{", "{apiVersion: acme.dev/v1, kind: Database, ", 1))
			if got := Assess(o, checkFor(t, c.check)); got.Status != c.status || got.Message != c.message {
				t.Errorf("got %s %q, want %s %q", got.Status, got.Message, c.status, c.message)
			}
		})
	}
}

func TestOwnHealthChecksWinOverShippedOnes(t *testing.T) {
	t.Parallel()
	paused := object(t, `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: r}, status: {phase: Paused}}`)
	own := checkFor(t, environments.HealthCheck{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Current: "status.phase in ['Healthy', 'Paused']"})
	if got := Assess(paused, own); got.Status != Current {
		t.Errorf("got %+v", got)
	}
	live := own.Observe(paused)
	if live.CheckedBy != own.Digest() || live.CheckedBy == "" || Observe(paused).CheckedBy != "" {
		t.Errorf("got %q", live.CheckedBy)
	}
}

func TestHealthChecksThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		check       environments.HealthCheck
		field, says string
	}{
		"no CEL":             {environments.HealthCheck{Current: "status.phase == "}, "[0].current", "is no CEL expression over an object"},
		"an unknown name":    {environments.HealthCheck{Current: "stauts.phase == 'x'"}, "[0].current", "undeclared reference to 'stauts'"},
		"no truth value":     {environments.HealthCheck{Current: "true", Failed: "'broken'"}, "[0].failed", "is of type string; it must be of type bool"},
		"no text":            {environments.HealthCheck{Current: "true", Message: "1"}, "[0].message", "is of type int; it must be of type string"},
		"empty":              {environments.HealthCheck{Current: " "}, "[0].current", "is empty"},
		"too long":           {environments.HealthCheck{Current: strings.Repeat("a", expression.MaxLength+1)}, "[0].current", "is 4097 bytes long; at most 4096 are accepted"},
		"what asks the time": {environments.HealthCheck{Current: "now() > timestamp(status.at)"}, "[0].current", "undeclared reference to 'now'"},
		"nested too deeply":  {environments.HealthCheck{InProgress: strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300), Current: "true"}, "[0].inProgress", "is no CEL expression"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check.APIVersion, c.check.Kind = "acme.dev/v1", "Database"
			_, field, err := NewHealthChecks([]environments.HealthCheck{c.check})
			if err == nil || field != c.field || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %s: %v", field, err)
			}
		})
	}
}

// A check runs with every change of every object of its kind.
func BenchmarkHealthCheck(b *testing.B) {
	rollout := object(b, `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: r, generation: 2}, status: {observedGeneration: "2", phase: Healthy}}`)
	b.ReportAllocs()
	for b.Loop() {
		Assess(rollout, nil)
	}
}

// A release that is returned to is judged by its own checks, also after a restart.
func TestAGoodReleaseKeepsItsHealthChecks(t *testing.T) {
	t.Parallel()
	checks, _, err := NewHealthChecks([]environments.HealthCheck{{APIVersion: "acme.dev/v1", Kind: "Database", Current: "status.ready", Message: "status.reason"}})
	if err != nil {
		t.Fatal(err)
	}
	good := Good{Terms: Terms{Health: checks}}
	good.Release.Objects = []*unstructured.Unstructured{object(t, `{apiVersion: acme.dev/v1, kind: Database, metadata: {name: db}}`)}
	content, err := good.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeGood(content)
	if err != nil || back.Terms.Health.Digest() != checks.Digest() || back.Terms.Health.For(ObjectID{Group: "acme.dev", Kind: "Database"}) == nil {
		t.Errorf("got %+v, %v", back.Terms.Health, err)
	}
}
