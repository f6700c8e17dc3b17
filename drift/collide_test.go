package drift

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func duplicate(fields ...string) metav1.Status {
	s := metav1.Status{Code: 422, Reason: metav1.StatusReasonInvalid, Details: &metav1.StatusDetails{}}
	for _, f := range fields {
		s.Details.Causes = append(s.Details.Causes, metav1.StatusCause{Type: metav1.CauseTypeFieldValueDuplicate, Field: f, Message: "Duplicate value"})
	}
	return s
}

const servicePorts = `
apiVersion: v1
kind: Service
metadata:
  name: web
  managedFields:
  - {manager: pawl, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:selector": {}}}}
  - {manager: kubectl-edit, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:ports": {
      'k:{"port":81,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}, 'k:{"port":7000,"protocol":"TCP"}': {".": {}, "f:name": {}}}}}}
  - {manager: other, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:ports": {'k:{"port":81,"protocol":"TCP"}': {"f:targetPort": {}}}}}}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 81, protocol: TCP, targetPort: 8080}
  - {name: theirs, port: 7000, protocol: TCP}
`

func TestWhatCollidesIsTaken(t *testing.T) {
	t.Parallel()
	declared := object(t, "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{name: http, port: 80}]}")
	got := Collide(declared, object(t, servicePorts), duplicate("spec.ports[1].name"))
	if diff := cmp.Diff([]string{"spec.ports[port=81,protocol=TCP]"}, got.Items); diff != "" {
		t.Error(diff)
	}
	fields := map[string]any{}
	for _, e := range got.ManagedFields {
		entry := e.(map[string]any)
		fields[entry["manager"].(string)] = entry["fieldsV1"]
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	// Who owned nothing else is gone; nobody owns "f:ports" as a whole.
	want := `{"kubectl-edit":{"f:spec":{"f:ports":{"k:{\"port\":7000,\"protocol\":\"TCP\"}":{".":{},"f:name":{}}}}},` +
		`"pawl":{"f:spec":{"f:ports":{"k:{\"port\":81,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{},"f:targetPort":{}}},"f:selector":{}}}}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatDoesNotCollideIsLeft(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: "
	other := duplicate("spec.ports[1].name")
	other.Details.Causes[0].Type = metav1.CauseTypeFieldValueInvalid
	for name, c := range map[string]struct {
		declared string
		answer   metav1.Status
	}{
		"another complaint":           {head + "{ports: [{name: http, port: 80}]}", other},
		"no answer":                   {head + "{ports: [{name: http, port: 80}]}", metav1.Status{}},
		"a list that is not declared": {head + "{selector: {app: web}}", duplicate("spec.ports[1].name")},
		"another name":                {head + "{ports: [{name: admin, port: 80}]}", duplicate("spec.ports[1].name")},
		"the item itself":             {head + "{ports: [{name: http, port: 81}]}", duplicate("spec.ports[1].name")},
		"another field":               {head + "{ports: [{name: http, port: 80}]}", duplicate("spec.ports[1].nodePort")},
		"another list":                {head + "{ports: [{name: http, port: 80}]}", duplicate("spec.hosts[1].name")},
	} {
		live := object(t, servicePorts)
		if got := Collide(object(t, c.declared), live, c.answer); len(got.Items) > 0 || got.ManagedFields != nil {
			t.Errorf("%s: got %+v", name, got)
		}
		if diff := cmp.Diff(object(t, servicePorts), live); diff != "" {
			t.Errorf("%s: the live object was changed: %s", name, diff)
		}
	}
}
