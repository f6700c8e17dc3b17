package drift

import (
	"strings"
	"testing"
)

// What a mark is worth where nothing remembers the object: an object that looks
// like ours is ours only if its managed fields prove it.
//
// catalogue 90
func TestWhoMadeAnObject(t *testing.T) {
	t.Parallel()
	const made = `
apiVersion: v1
kind: ConfigMap
metadata:
  name: conf
  creationTimestamp: "2026-11-20T10:00:00Z"
  labels: {pawl.dev/agent: pawl, pawl.dev/target: production_web}
  managedFields:
  - {manager: pawl, operation: Apply, time: "2026-11-20T10:00:00Z", fieldsV1: {"f:metadata": {"f:labels": {"f:pawl.dev/agent": {}, "f:pawl.dev/target": {}}}}}
`
	beside := func(entry string) []string {
		return []string{"  managedFields:\n", "  managedFields:\n  - " + entry + "\n"}
	}
	for name, c := range map[string]struct {
		change  []string // old and new text
		made    bool
		without bool // a mark that counts
	}{
		"by our apply": {nil, true, false},
		"by our apply, and the second changed meanwhile": {[]string{`time: "2026-11-20T10:00:00Z"`, `time: "2026-11-20T09:59:59Z"`}, true, false},
		"and its controller wrote its status":            {beside(`{manager: kube-controller-manager, operation: Update, subresource: status, time: "2026-11-20T10:00:01Z", fieldsV1: {"f:status": {}}}`), true, false},
		"and somebody scaled it":                         {beside(`{manager: kubectl, operation: Update, subresource: scale, time: "2026-11-20T10:00:01Z", fieldsV1: {"f:spec": {"f:replicas": {}}}}`), false, false},
		"and a person edited it":                         {beside(`{manager: kubectl-edit, operation: Update, time: "2026-11-20T10:00:01Z", fieldsV1: {"f:data": {"f:k": {}}}}`), false, false},
		"by a person, whose labels we own now":           {beside(`{manager: kubectl-create, operation: Update, time: "2026-11-20T10:00:00Z", fieldsV1: {"f:data": {"f:k": {}}}}`), false, false},
		"by kubectl apply of a copy":                     {[]string{"manager: pawl, operation: Apply", "manager: kubectl-client-side-apply, operation: Update"}, false, true},
		"by kubectl apply --server-side of a copy":       {[]string{"manager: pawl", "manager: kubectl"}, false, true},
		"by create in our name":                          {[]string{"operation: Apply", "operation: Update"}, false, true},
		"from a backup, with the managed fields of then": {[]string{`creationTimestamp: "2026-11-20T10:00:00Z"`, `creationTimestamp: "2026-11-20T10:05:00Z"`}, false, false},
		"from a backup, and applied by us since":         {[]string{`time: "2026-11-20T10:00:00Z"`, `time: "2026-11-20T10:05:00Z"`}, false, false},
		"longer ago than admission may take":             {[]string{`time: "2026-11-20T10:00:00Z"`, `time: "2026-11-20T09:59:58Z"`}, false, false},
		"at a time that is none":                         {[]string{`time: "2026-11-20T10:00:00Z"`, `time: "yesterday"`}, false, false},
		"at no time":                                     {[]string{`time: "2026-11-20T10:00:00Z", `, ""}, false, false},
		"in two versions":                                {beside(`{manager: pawl, operation: Apply, apiVersion: v1beta1, time: "2026-11-20T10:00:00Z", fieldsV1: {"f:data": {"f:k": {}}}}`), false, false},
		"without managed fields":                         {[]string{made[strings.Index(made, "  managedFields"):], ""}, false, true},
		"by a status alone":                              {[]string{"operation: Apply,", "operation: Apply, subresource: status,"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := made
			if c.change != nil {
				if text = strings.Replace(made, c.change[0], c.change[1], 1); text == made {
					t.Fatal("nothing was changed")
				}
			}
			live := Observe(object(t, text))
			if live.Made != c.made || live.Mark.IsZero() != c.without {
				t.Errorf("made by us: %v, marked %v", live.Made, live.Mark)
			}
		})
	}
}
