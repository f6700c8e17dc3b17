package drift

import "testing"

// The words are those of the API server and of the controllers.
func TestPodsThatAreRefused(t *testing.T) {
	t.Parallel()
	const (
		forbidden = `pods "web-7c9d-x2x" is forbidden: `
		full      = forbidden + "exceeded quota: small, requested: limits.cpu=500m,pods=1, used: limits.cpu=2,pods=4, limited: limits.cpu=2,pods=4"
		never     = forbidden + "exceeded quota: small, requested: limits.cpu=1,limits.memory=1Gi, used: limits.cpu=0,limits.memory=0, limited: limits.cpu=2,limits.memory=512Mi"
		undefined = forbidden + "failed quota: small: must specify limits.cpu for: web"
		security  = forbidden + `violates PodSecurity "restricted:latest": runAsNonRoot != true`
		webhook   = `Internal error occurred: failed calling webhook "pods.acme.dev": failed to call webhook: Post "https://policy.acme.svc:443/": dial tcp: connect: connection refused`
		denied    = `admission webhook "pods.acme.dev" denied the request: no owner`
	)
	for name, c := range map[string]struct {
		said, message string
		fatal         bool
	}{
		"others use the quota":            {full, "waits for quota: FailedCreate: " + full, false},
		"the quota never has that much":   {never, "FailedCreate: " + never, true},
		"the quota asks for limits":       {undefined, "FailedCreate: " + undefined, true},
		"the namespace does not allow it": {security, "FailedCreate: " + security, true},
		"a webhook does not answer":       {webhook, "waits for an admission webhook: FailedCreate: " + webhook, false},
		"a webhook says no":               {denied, "FailedCreate: " + denied, true},
		"words that are not understood":   {forbidden + "exceeded quota: small, more than there is", "FailedCreate: " + forbidden + "exceeded quota: small, more than there is", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deployment := object(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, generation: 2}, spec: {replicas: 3}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 1, conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate}]}}`)
			condition := deployment.Object["status"].(map[string]any)["conditions"].([]any)[0].(map[string]any)
			condition["message"] = c.said
			want := Cause{Message: c.message, Fatal: c.fatal, Grace: refusalGrace}
			if got := Observe(deployment).Refusal; got != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			if got, refused := (Warning{Refused: true, Reason: "FailedCreate", Message: c.said}).Refusal(Warning{}.Last.Add(-1)); !refused || got != want {
				t.Errorf("by a warning: got %+v, %v\nwant %+v", got, refused, want)
			}
			deployment.SetGeneration(3)
			if got := Observe(deployment).Refusal; got != (Cause{}) {
				t.Errorf("of an earlier spec: %+v", got)
			}
		})
	}
}
