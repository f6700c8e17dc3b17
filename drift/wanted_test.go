package drift

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
)

func TestWantKeepsAllButWhatOnlyTheServerMaySay(t *testing.T) {
	t.Parallel()
	obj := object(t, `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  creationTimestamp: null
  resourceVersion: "4"
  uid: abc
  managedFields: []
  labels: {app: web, pawl.dev/target: somebody-elses}
spec: {replica: 2}
status: {replicas: 1}
`)
	before := obj.DeepCopy()
	wanted, err := Want([]*unstructured.Unstructured{obj}, ours)
	if err != nil {
		t.Fatal(err)
	}
	// catalogue 25: the repository cannot choose the mark.
	// A typo ("replica") stays, so that the server sees it.
	const want = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"labels":{"app":"web","pawl.dev/agent":"pawl","pawl.dev/target":"production_web"},"name":"web","namespace":"shop"},"spec":{"replica":2}}`
	if diff := cmp.Diff(want, string(wanted[0].Patch)); diff != "" {
		t.Error(diff)
	}
	if wanted[0].ID != web || wanted[0].GVK.Version != "v1" {
		t.Errorf("got %+v", wanted[0])
	}
	if diff := cmp.Diff(before, obj); diff != "" {
		t.Error("the release's object was changed:", diff)
	}
}

func TestWantWritesStringDataIntoData(t *testing.T) {
	t.Parallel()
	obj := object(t, `{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, data: {a: YQ==, b: Yg==}, stringData: {b: new}}`)
	wanted, err := Want([]*unstructured.Unstructured{obj}, ours)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Data, StringData map[string]string }
	if err := json.Unmarshal(wanted[0].Patch, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "YQ==", "b": "bmV3"}, got.Data); diff != "" || got.StringData != nil {
		t.Error(diff, got.StringData)
	}
}

func TestWantRefuses(t *testing.T) {
	t.Parallel()
	secret := ObjectID{Kind: "Secret", Namespace: "shop", Name: "s"}
	for text, want := range map[string]Problem{
		`{apiVersion: v1, kind: ConfigMap, metadata: {generateName: c-}}`:                                {Object: ObjectID{Kind: "ConfigMap"}, Field: "metadata.name", Reason: "is missing; generateName cannot be applied, write a name"},
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: [a]}}`:                            {Object: ObjectID{Kind: "ConfigMap", Name: "c"}, Field: "metadata.labels", Reason: "is no object"},
		`{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, stringData: {port: 5432}}`: {Object: secret, Field: "stringData[port]", Reason: "is no string; put it in quotes"},
		`{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, data: {pass: hunter2!}}`:   {Object: secret, Field: "data[pass]", Reason: "is not base64; encode it, or write it under stringData"},
		`{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, data: {pin: 5432}}`:        {Object: secret, Field: "data[pin]", Reason: "is no string; encode it in base64, or write it in quotes under stringData"},
	} {
		_, err := Want([]*unstructured.Unstructured{object(t, text)}, ours)
		var refused *Rejected
		if !errors.As(err, &refused) || len(refused.Problems) != 1 || refused.Problems[0] != want || refused.Of != 1 {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "5432")) {
			t.Errorf("a value is told: %v", err)
		}
	}
}

func TestWantNamesAllThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := Want([]*unstructured.Unstructured{
		object(t, `{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, data: {b: "*", a: "*", fine: YQ==, none: null, none2: ""}, stringData: {c: 1}}`),
		object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}`),
		object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: shop}}`),
	}, ours)
	var refused *Rejected
	if !errors.As(err, &refused) || refused.Of != 3 {
		t.Fatalf("got %v", err)
	}
	var fields []string
	for _, p := range refused.Problems {
		fields = append(fields, p.Field)
	}
	if diff := cmp.Diff([]string{"metadata.name", "data[a]", "data[b]", "stringData[c]"}, fields); diff != "" {
		t.Error(diff)
	}
}

func TestMarksOfDifferentTargetsDiffer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("application-", 8)
	targets := []environments.Target{
		{Environment: "production"},
		{Environment: "production", Application: "web"},
		{Environment: "production_web"},
		{Environment: "production", Application: "a/b"},
		{Environment: "production", Application: "a_b"},
		{Environment: "production", Application: long},
		{Environment: "production", Application: long + "2"},
		{Environment: "production", Application: "büro"},
		{Environment: "production", Application: "b-ro"},
		{Environment: "-", Application: "-"},
		{Environment: ".", Application: "."},
	}
	seen := map[string]environments.Target{}
	for _, target := range targets {
		value := MarkFor("pawl-system/pawl", target).Target
		if other, twice := seen[value]; twice {
			t.Errorf("%s and %s have the same mark %s", target, other, value)
		}
		seen[value] = target
		if !isLabelValue(value) {
			t.Errorf("%q is no label value", value)
		}
	}
	if got := MarkFor("pawl-system/pawl", production); got != (Mark{"pawl-system_pawl", "production_web"}) {
		t.Errorf("got %+v", got)
	}
}

func isLabelValue(s string) bool {
	const inner = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return len(s) > 0 && len(s) <= 63 && strings.Trim(s, inner+"-_.") == "" &&
		strings.ContainsRune(inner, rune(s[0])) && strings.ContainsRune(inner, rune(s[len(s)-1]))
}

// catalogue 88
func TestTheWordForRecreationIsStrict(t *testing.T) {
	t.Parallel()
	for word, c := range map[string]struct {
		kind string
		want string
	}{
		"on-immutable-change":  {"ConfigMap", ""},
		"true":                 {"ConfigMap", `ConfigMap shop/a: metadata.annotations[pawl.dev/recreate]: is "true"; the only word is "on-immutable-change", or leave the annotation out`},
		"On-Immutable-Change":  {"ConfigMap", `ConfigMap shop/a: metadata.annotations[pawl.dev/recreate]: is "On-Immutable-Change"; the only word is "on-immutable-change", or leave the annotation out`},
		"on-immutable-change ": {"ConfigMap", `ConfigMap shop/a: metadata.annotations[pawl.dev/recreate]: is "on-immutable-change "; the only word is "on-immutable-change", or leave the annotation out`},
	} {
		obj := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": c.kind,
			"metadata": map[string]any{"name": "a", "namespace": "shop", "annotations": map[string]any{"pawl.dev/recreate": word}},
		}}
		wanted, err := Want([]*unstructured.Unstructured{obj}, Mark{Agent: "pawl", Target: "shop"})
		if c.want == "" {
			if err != nil || !wanted[0].Recreate {
				t.Errorf("%q: got %+v, %v", word, wanted, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v", word, err)
		}
	}
}
