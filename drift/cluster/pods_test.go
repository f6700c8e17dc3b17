package cluster

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/drift"
)

// A pod of the template before does not explain the rollout that replaces it,
// and of several causes the one that needs a change is told.
func TestTheCauseIsThatOfAPodOfThePresentTemplate(t *testing.T) {
	t.Parallel()
	pod := func(name, image, status string) *unstructured.Unstructured {
		p := &unstructured.Unstructured{}
		err := p.UnmarshalJSON([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"` + name + `","namespace":"shop","labels":{"pod-template-hash":"1"},
			"ownerReferences":[{"kind":"ReplicaSet","name":"web-1","controller":true}]},
			"spec":{"containers":[{"name":"web","image":"` + image + `"}]},"status":` + status + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const (
		crash  = `{"containerStatuses":[{"name":"web","state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}`
		noNode = `{"conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"no room"}]}`
	)
	web := &kept{
		id:    drift.ObjectID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"},
		patch: []byte(`{"apiVersion":"apps/v1","kind":"Deployment","spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`),
	}
	for name, c := range map[string]struct {
		pods []*unstructured.Unstructured
		want string
	}{
		"none fails":               {nil, ""},
		"only one that goes away":  {[]*unstructured.Unstructured{pod("a", "web:1", crash)}, ""},
		"one of each":              {[]*unstructured.Unstructured{pod("a", "web:1", crash), pod("b", "web:2", crash)}, "pod b: CrashLoopBackOff"},
		"what may pass by itself":  {[]*unstructured.Unstructured{pod("a", "web:2", noNode)}, "pod a: no node for it yet: no room"},
		"the worse one comes last": {[]*unstructured.Unstructured{pod("a", "web:2", noNode), pod("b", "web:2", crash)}, "pod b: CrashLoopBackOff"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &podWatch{failing: map[string]*unstructured.Unstructured{}}
			var names []string
			for _, pod := range c.pods {
				p.failing[pod.GetName()] = pod
				names = append(names, pod.GetName())
			}
			if got := p.causeFor(web, names); got.Message != c.want {
				t.Errorf("got %q, want %q", got.Message, c.want)
			}
		})
	}
}
