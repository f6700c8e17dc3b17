package drift

import (
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

const excepted = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {team: a}, annotations: {pawl.dev/ignore: "%s"}}
spec:
  replicas: 2
  template:
    spec:
      containers:
      - name: web
        image: ghcr.io/acme/web@sha256:aa
        resources: {limits: {cpu: 1}}
        ports: [{containerPort: 80}]
`

var imageOfWeb = render.Image{Field: "spec.template.spec.containers[0].image"}

func exceptedBy(t *testing.T, ignore string, rules ...environments.Ignore) (Wanted, error) {
	t.Helper()
	obj := object(t, strings.Replace(excepted, "%s", ignore, 1))
	if ignore == "" {
		obj.SetAnnotations(nil)
	}
	wanted, err := Want([]*unstructured.Unstructured{obj}, ours)
	if err != nil {
		t.Fatal(err)
	}
	err = Except(wanted, rules, map[ObjectID][]render.Image{web: {imageOfWeb}})
	return wanted[0], err
}

// catalogue 98
func TestIgnoredFieldsAreMadeAndThenNotApplied(t *testing.T) {
	t.Parallel()
	rule := environments.Ignore{APIVersion: "apps/v1beta1", Kind: "Deployment", Name: "w*b", Namespace: "shop", Fields: []string{"spec.replicas", "spec.paused"}}
	for name, c := range map[string]struct {
		annotation string
		rules      []environments.Ignore
		gone       []string
	}{
		"by the object":      {"spec.replicas, spec.template.spec.containers[name=web].resources", nil, []string{"spec.replicas", "spec.template.spec.containers[name=web].resources"}},
		"by the environment": {"", []environments.Ignore{rule}, []string{"spec.replicas"}},
		"by both":            {"metadata.labels.team, spec.replicas", []environments.Ignore{rule}, []string{"spec.replicas", "metadata.labels.team"}},
		"a default is part of the key": {"spec.template.spec.containers[name=web].ports[containerPort=80,protocol=TCP]", nil,
			[]string{"spec.template.spec.containers[name=web].ports[containerPort=80,protocol=TCP]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := exceptedBy(t, c.annotation, c.rules...)
			if err != nil || w.Exceptions == nil {
				t.Fatalf("got %+v, %v", w, err)
			}
			for _, text := range c.gone {
				p, _ := parseFieldPath(text)
				if p.find(tree(t, string(w.Patch))) != nil || p.find(tree(t, string(w.Whole()))) == nil {
					t.Errorf("%s: patch %s, whole %s", text, w.Patch, w.Whole())
				}
			}
			if w.Digest != digestOf(w.Patch) || !strings.Contains(string(w.Patch), "ghcr.io/acme/web@") {
				t.Errorf("got %+v", w)
			}
		})
	}
	for name, other := range map[string]environments.Ignore{
		"another group":     {APIVersion: "acme.dev/v1", Kind: "Deployment", Fields: rule.Fields},
		"another kind":      {APIVersion: "apps/v1", Kind: "StatefulSet", Fields: rule.Fields},
		"another name":      {APIVersion: "apps/v1", Kind: "Deployment", Name: "we", Fields: rule.Fields},
		"another namespace": {APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop-*", Fields: rule.Fields},
	} {
		if w, err := exceptedBy(t, "", other); err != nil || w.Exceptions != nil {
			t.Errorf("%s: got %+v, %v", name, w.Exceptions, err)
		}
	}
}

// A commit that changes nothing but the value of an ignored field writes nothing.
func TestTheValueOfAnIgnoredFieldIsNoChange(t *testing.T) {
	t.Parallel()
	a, _ := exceptedBy(t, "spec.replicas")
	obj := object(t, strings.Replace(strings.Replace(excepted, "%s", "spec.replicas", 1), "replicas: 2", "replicas: 9", 1))
	b, err := Want([]*unstructured.Unstructured{obj}, ours)
	if err != nil || Except(b, nil, nil) != nil || a.Digest != b[0].Digest || string(a.Whole()) == string(b[0].Whole()) {
		t.Errorf("got %s and %s, %v", a.Patch, b[0].Patch, err)
	}
}

func TestWhatCannotBeIgnoredIsRefused(t *testing.T) {
	t.Parallel()
	for path, why := range map[string]string{
		"spec":          "is a root of the object",
		"apiVersion":    "is a root of the object",
		"kind":          "is a root of the object",
		"metadata":      "is a root of the object",
		"metadata.name": "says which object it is", "metadata.namespace": "says which object it is",
		"metadata.labels":                                   "holds the mark or words of the agent",
		"metadata.annotations":                              "holds the mark or words of the agent",
		"metadata.labels[pawl.dev/target]":                  "is a mark or word of the agent",
		"metadata.labels[pawl.dev/agent]":                   "is a mark or word of the agent",
		"metadata.annotations[pawl.dev/any]":                "is a mark or word of the agent",
		"status.replicas":                                   "is not applied anyway",
		"spec.template":                                     "is or holds an image (spec.template.spec.containers[0].image)",
		"spec.template.spec.containers[name=web]":           "is or holds an image",
		"spec.template.spec.containers[name=web].image":     "is or holds an image",
		"spec.template.spec.containers[name=web].name":      "items of the list are found by it",
		"spec.replica":                                      "is not declared by the object",
		"spec.template.spec.containers[name=wep].resources": "is not declared by the object",
		"spec.template.spec.containers[0].resources":        "is not declared by the object",
		"spec.template.spec.containers.resources":           "is not declared by the object",
		"spec[replicas]":                                    "is not declared by the object",
		"spec[":                                             "a bracket is not closed",
	} {
		_, err := exceptedBy(t, path)
		var refused *Rejected
		if !errors.As(err, &refused) || len(refused.Problems) != 1 || !strings.Contains(refused.Problems[0].Reason, why) ||
			refused.Problems[0].Object != web || refused.Problems[0].Field != "metadata.annotations[pawl.dev/ignore]" {
			t.Errorf("%s: got %v, want %s", path, err, why)
		}
		if strings.Contains(why, "declared") {
			continue // a rule is about many objects
		}
		if field, err := CheckIgnore([]environments.Ignore{{}, {Fields: []string{"spec.replicas", path}}}); !strings.Contains(why, "image") && !strings.Contains(why, "found by") && (err == nil || field != "[1].fields[1]") {
			t.Errorf("%s as a rule: got %s, %v", path, field, err)
		}
		if _, err := exceptedBy(t, "", environments.Ignore{APIVersion: "apps/v1", Kind: "Deployment", Fields: []string{path}}); !errors.As(err, &refused) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s as a rule: got %v, want %s", path, err, why)
		}
	}
}

// What a Secret declares as stringData is applied, and known to everybody, as data.
func TestStringDataIsIgnoredAsData(t *testing.T) {
	t.Parallel()
	const why = "stringData.password cannot be ignored: the stringData of a Secret is applied as data; write data.password"
	rules := []environments.Ignore{{APIVersion: "v1", Kind: "Secret", Fields: []string{"stringData.password"}}}
	if field, err := CheckIgnore(rules); err == nil || err.Error() != why || field != "[0].fields[0]" {
		t.Errorf("got %s, %v", field, err)
	}
	secret := func(field string) error {
		wanted, err := Want([]*unstructured.Unstructured{object(t, "{apiVersion: v1, kind: Secret, metadata: {name: a, annotations: {pawl.dev/ignore: "+field+"}}, stringData: {password: a}}")}, ours)
		if err != nil {
			t.Fatal(err)
		}
		return Except(wanted, nil, nil)
	}
	if err := secret("stringData.password"); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("got %v", err)
	}
	if err := secret("data.password"); err != nil {
		t.Error(err)
	}
}

// Only what is to be given up is taken out of our entry.
func TestDisowning(t *testing.T) {
	t.Parallel()
	w, err := exceptedBy(t, "spec.replicas, spec.template.spec.containers[name=web].resources")
	if err != nil {
		t.Fatal(err)
	}
	live := func(replicas string) *unstructured.Unstructured {
		return object(t, strings.Replace(`
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  managedFields:
  - {manager: kubectl, operation: Update, apiVersion: apps/v1, fieldsV1: {"f:spec": {"f:replicas": {}}}}
  - manager: pawl
    operation: Apply
    apiVersion: apps/v1
    fieldsV1:
      f:spec:
        REPLICAS
        f:template: {f:spec: {f:containers: {'k:{"name":"web"}': {".": {}, f:image: {}, f:name: {}, f:resources: {f:limits: {f:cpu: {}}}}}}}
spec: {replicas: 2, template: {spec: {containers: [{name: web, image: a, resources: {limits: {cpu: 1}}}]}}}
`, "REPLICAS", replicas, 1))
	}
	got, err := json.Marshal(w.Exceptions.Disown(live("f:replicas: {}")))
	if err != nil {
		t.Fatal(err)
	}
	const want = `[
	 {"manager": "kubectl", "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
	 {"manager": "pawl", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1":
	  {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:name": {}}}}}}}}]`
	if diff := cmp.Diff(tree(t, want), tree(t, string(got))); diff != "" {
		t.Error(diff)
	}
	o := live("f:paused: {}")
	unstructured.RemoveNestedField(o.Object, "spec", "template")
	o.Object["metadata"].(map[string]any)["managedFields"].([]any)[1].(map[string]any)["fieldsV1"] = tree(t, `{"f:spec":{"f:paused":{}}}`)
	if again := w.Exceptions.Disown(o); again != nil {
		t.Errorf("there is nothing to give up, but got %v", again)
	}
}

// catalogue 98
func TestWhatGoesWithItsParentsIsFound(t *testing.T) {
	t.Parallel()
	const item = `k:{"port":81,"protocol":"TCP"}`
	for name, c := range map[string]struct {
		path, owned, live, body string
		want                    bool
	}{
		"a sibling is still declared":   {"data.cert", `{"f:data":{"f:other":{}}}`, `{"data":{"cert":"1","other":"2"}}`, `{"data":{"other":"3"}}`, false},
		"the last sibling leaves":       {"data.cert", `{"f:data":{"f:other":{}}}`, `{"data":{"cert":"1","other":"2"}}`, `{}`, true},
		"ignored from now on, alone":    {"data.cert", `{"f:data":{"f:cert":{}}}`, `{"data":{"cert":"1"}}`, `{}`, true},
		"nothing beside it was ours":    {"data.cert", `{"f:metadata":{"f:labels":{"f:a":{}}}}`, `{"data":{"cert":"1"}}`, `{}`, false},
		"the parent alone was declared": {"data.cert", `{"f:data":{}}`, `{"data":{"cert":"1"}}`, `{}`, true},
		"it is not there":               {"data.cert", `{"f:data":{"f:other":{}}}`, `{"data":{"other":"2"}}`, `{}`, false},
		"a parent further up leaves":    {"spec.a.b.c", `{"f:spec":{"f:a":{"f:b":{"f:d":{}}},"f:x":{}}}`, `{"spec":{"a":{"b":{"c":1,"d":1}},"x":1}}`, `{"spec":{"x":1}}`, true},
		"an item, the last other leaves": {"spec.ports[port=81,protocol=TCP]", `{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{}}}}}`,
			`{"spec":{"ports":[{"port":81,"protocol":"TCP"},{"port":80,"protocol":"TCP"}]}}`, `{"spec":{}}`, true},
		"a field of an item that stays": {"spec.ports[port=81,protocol=TCP].nodePort", `{"f:spec":{"f:ports":{` + strconv.Quote(item) + `:{".":{},"f:port":{},"f:name":{}}}}}`,
			`{"spec":{"ports":[{"port":81,"protocol":"TCP","name":"a","nodePort":1}]}}`, `{"spec":{"ports":[{"port":81}]}}`, false},
		"a map of an item that leaves": {"spec.ports[port=81,protocol=TCP].a.b", `{"f:spec":{"f:ports":{` + strconv.Quote(item) + `:{".":{},"f:port":{},"f:a":{"f:c":{}}}}}}`,
			`{"spec":{"ports":[{"port":81,"protocol":"TCP","a":{"b":1,"c":1}}]}}`, `{"spec":{"ports":[{"port":81}]}}`, true},
	} {
		p, err := parseFieldPath(c.path)
		if err != nil {
			t.Fatal(err)
		}
		live := object(t, `{apiVersion: v1, kind: Any}`)
		maps.Copy(live.Object, tree(t, c.live).(map[string]any))
		live.Object["metadata"] = map[string]any{"managedFields": []any{map[string]any{"manager": "pawl", "operation": "Apply", "fieldsV1": tree(t, c.owned)}}}
		body := strings.Replace(`{"apiVersion":"v1","kind":"Any",`+c.body[1:], ",}", "}", 1)
		if got, err := (&Exceptions{fields: []fieldPath{p}}).Uproots(live, []byte(body)); got != c.want || err != nil {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestWhatTheServerKnowsOtherwiseIsNamed(t *testing.T) {
	t.Parallel()
	const answer = `
apiVersion: v1
kind: Service
metadata:
  name: web
  managedFields:
  - manager: pawl
    operation: Apply
    fieldsV1: {f:spec: {f:selector: {}, f:ports: {'k:{"port":80,"protocol":"TCP"}': {".": {}, f:name: {}, f:port: {}}}}}
spec: {selector: {app: web}, ports: [{port: 80, protocol: TCP, name: http}]}
`
	for path, want := range map[string]string{
		"spec.selector.app":                         "spec.selector",
		"spec.ports[name=http].port":                "spec.ports[port=80,protocol=TCP]",
		"spec.ports[port=80].name":                  "spec.ports[port=80,protocol=TCP]",
		"spec.ports[port=80,protocol=TCP].name":     "",
		"spec.ports[port=80,protocol=TCP].nodePort": "",
	} {
		p, err := parseFieldPath(path)
		if err != nil {
			t.Fatal(err)
		}
		x := Exceptions{fields: []fieldPath{p}}
		problems := x.Problems(web, object(t, answer))
		if want == "" != (len(problems) == 0) || want != "" && !strings.HasSuffix(problems[0].Reason, "knows it as "+want+"; name that") {
			t.Errorf("%s: got %v, want %q", path, problems, want)
		}
	}
}
