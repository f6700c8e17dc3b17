package drift

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A word that the agent does not know would be applied as any annotation, and
// whoever wrote it would think that it counts.
func TestUnknownWordsOfObjectsAreRefused(t *testing.T) {
	t.Parallel()
	const annotations = "the annotations of pawl are pawl.dev/adopt, pawl.dev/ignore, pawl.dev/prune, pawl.dev/recreate"
	for metadata, want := range map[string]string{
		"annotations: {pawl.dev/ignor: spec.replicas}":                                       "metadata.annotations[pawl.dev/ignor]: is not known; " + annotations + `; did you mean "pawl.dev/ignore"?`,
		"annotations: {pawl.dev/whatever-else: a}":                                           "metadata.annotations[pawl.dev/whatever-else]: is not known; " + annotations,
		"labels: {pawl.dev/recreate: on-immutable-change}":                                   "metadata.labels[pawl.dev/recreate]: is not known; the labels of pawl are pawl.dev/agent, pawl.dev/prune, pawl.dev/reads-metrics, pawl.dev/target; it is an annotation",
		"labels: {pawl.dev/target: a, pawl.dev/prune: confirm, pawl.dev/reads-metrics: yes}": "",
		"annotations: {pawl.development/a: b, testworld.pawl.dev/fail: c}":                   "",
	} {
		_, err := Want([]*unstructured.Unstructured{object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop, "+metadata+"}}")}, ours)
		var refused *Rejected
		switch {
		case want == "" && err == nil:
		case want == "" || !errors.As(err, &refused) || refused.Problems[0].String() != "ConfigMap shop/c: "+want:
			t.Errorf("%s: got %v, want %s", metadata, err, want)
		}
	}
}
