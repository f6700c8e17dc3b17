package environments_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/environments"
)

func names(list []environments.Environment) string {
	var s []string
	for _, e := range list {
		s = append(s, e.Name)
	}
	return strings.Join(s, " ")
}

func TestOrderAndNext(t *testing.T) {
	t.Parallel()
	p, err := environments.Load("pawl.yaml", []byte(minimal+`
    - {name: us, after: [staging]}
    - {name: eu, after: [staging]}
    - {name: world, after: [us, eu]}
    - {name: dev}
    - {name: staging, after: [dev]}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"order": names(p.Order()), "first": p.First().Name}
	for _, e := range p.Order() {
		got["after "+e.Name] = names(p.Next(e.Name))
	}
	want := map[string]string{"order": "dev staging us eu world", "first": "dev",
		"after dev": "staging", "after staging": "us eu", "after us": "world", "after eu": "world", "after world": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, ok := p.Environment("nowhere"); ok {
		t.Error("found an environment that does not exist")
	}
}

func ExamplePipeline_Order() {
	p, _ := environments.Load("pawl.yaml", []byte(`
apiVersion: pawl.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec:
  overlays: overlays/{env}
  environments:
    - {name: production, after: [staging]}
    - {name: dev}
    - {name: staging, after: [dev]}
`))
	for _, e := range p.Order() {
		fmt.Println(e.Name)
	}
	// Output:
	// dev
	// staging
	// production
}

func ExampleLoad() {
	_, err := environments.Load("pawl.yaml", []byte(`
apiVersion: pawl.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec:
  overlay: overlays/{env}
  environments:
    - {name: dev}
    - {name: staging, after: [dve]}
`))
	fmt.Println(err)
	// Output:
	// pawl.yaml: 3 problems
	//   spec.overlays (line 5): is missing; write text such as apps/{app}/overlays/{env}
	//   spec.overlay (line 6): unknown field; did you mean "overlays"?
	//   spec.environments[1].after[0] (line 9): unknown environment "dve"; did you mean "dev"?
}
