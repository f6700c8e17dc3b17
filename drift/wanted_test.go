package drift

import (
	"encoding/json"
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
	for text, message := range map[string]string{
		`{apiVersion: v1, kind: ConfigMap, metadata: {generateName: c-}}`:                                "generateName cannot be applied",
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: [a]}}`:                            "metadata.labels is no object",
		`{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, stringData: {port: 5432}}`: "Secret shop/s: stringData[port] is no string",
	} {
		if _, err := Want([]*unstructured.Unstructured{object(t, text)}, ours); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: got %v, want %q", text, err, message)
		}
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
