package drift

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// catalogue 50
func TestFieldsThatAdmissionRewrote(t *testing.T) {
	t.Parallel()
	const pinned = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	const ports = `{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}}}}`
	owned := func(field string) string { return `{"f:spec":{"f:` + field + `":{}}}` }
	for name, c := range map[string]struct {
		owned, declared, answer string
		want                    string // path, declared, answered
	}{
		"as declared":                     {owned("v"), "v: a", "v: a", ""},
		"another text":                    {owned("v"), "v: a", "v: b", "spec.v a b"},
		"another number":                  {owned("v"), "v: 1", "v: 3", "spec.v 1 3"},
		"another flag":                    {owned("v"), "v: false", "v: true", "spec.v false true"},
		"no replicas":                     {owned("replicas"), "replicas: 0", "replicas: 3", "spec.replicas 0 3"},
		"a text taken out":                {owned("v"), "v: a", "w: a", "spec.v a "},
		"not pawl's":                      {owned("w"), "{v: a, w: a}", "{v: b, w: a}", ""},
		"not declared":                    {owned("v"), "w: a", "v: b", ""},
		"null":                            {owned("v"), "v: null", "v: 3", ""},
		"0, read as not set":              {owned("timeoutSeconds"), "timeoutSeconds: 0", "timeoutSeconds: 1", ""},
		"an empty text":                   {owned("v"), "v: ''", "v: Opaque", ""},
		"an empty list":                   {owned("v"), "v: []", "v: [a]", ""},
		"an empty map":                    {owned("v"), "v: {}", "v: {a: b}", ""},
		"empty values left out":           {owned("v"), "v: {a: 0, b: false, c: '', d: [], e: {}, f: null}", "v: {}", ""},
		"a quantity":                      {owned("v"), "v: 1000m", "v: '1'", ""},
		"a quantity, written as a number": {owned("v"), "v: 0.5", "v: 500m", ""},
		"another quantity":                {owned("v"), "v: 1000m", "v: '2'", "spec.v 1000m 2"},
		"a duration":                      {owned("v"), "v: 60s", "v: 1m0s", ""},
		"another duration":                {owned("v"), "v: 60s", "v: 2m0s", "spec.v 60s 2m0s"},
		"a time":                          {owned("v"), "v: '2026-01-01T02:00:00+02:00'", "v: '2026-01-01T00:00:00Z'", ""},
		"another time":                    {owned("v"), "v: '2026-01-01T02:00:00+02:00'", "v: '2027-01-01T00:00:00Z'", "spec.v 2026-01-01T02:00:00+02:00 2027-01-01T00:00:00Z"},
		"base64 in lines":                 {owned("v"), "v: \"aGVs\\nbG8=\"", "v: aGVsbG8=", ""},
		"the image from a mirror":         {owned("v"), "v: ghcr.io/a" + pinned, "v: mirror/a" + pinned, ""},
		"a port with its protocol":        {ports, "ports: [{port: 80, name: http}]", "ports: [{port: 80, name: http, protocol: TCP}]", ""},
		"another name of that port":       {ports, "ports: [{port: 80, name: http}, {port: 80, name: x, protocol: UDP}]", "ports: [{port: 80, name: evil, protocol: TCP}]", "spec.ports[port=80,protocol=TCP].name http evil"},
		"a list with more":                {owned("v"), "v: [a, b]", "v: [x, a, y, b]", ""},
		"a list with another item":        {owned("v"), "v: [a, b]", "v: [a, c]", `spec.v ["a","b"] ["a","c"]`},
		"a list without an item":          {owned("v"), "v: [a, b]", "v: [b]", `spec.v ["a","b"] ["b"]`},
		"a map with more":                 {owned("v"), "v: {a: b}", "v: {a: b, c: d}", ""},
		"a map with another value":        {owned("v"), "v: {a: {b: 1}}", "v: {a: {b: 2}}", `spec.v {"a":{"b":1}} {"a":{"b":2}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := func(text string) *unstructured.Unstructured {
				return object(t, "apiVersion: v1\nkind: C\nspec:\n  "+strings.TrimSpace(text)+"\n")
			}
			answer := spec(c.answer)
			answer.Object["metadata"] = map[string]any{"managedFields": []any{map[string]any{"manager": "pawl", "operation": "Apply", "fieldsV1": tree(t, c.owned)}}}
			got := ""
			for _, change := range RewrittenFields(spec(c.declared), answer) {
				got += change.Path + " " + change.To + " " + change.From
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestARewritingOfASecretHoldsNoValues(t *testing.T) {
	t.Parallel()
	secret := func(value string) *unstructured.Unstructured {
		return object(t, "apiVersion: v1\nkind: Secret\ndata: {k: "+value+"}\n")
	}
	answer := secret("c3RvbGVu")
	answer.Object["metadata"] = map[string]any{"managedFields": []any{map[string]any{"manager": "pawl", "operation": "Apply", "fieldsV1": tree(t, `{"f:data":{"f:k":{}}}`)}}}
	changes := RewrittenFields(secret("c2VjcmV0"), answer)
	if len(changes) != 1 || changes[0] != (Change{Path: "data.k"}) || !strings.HasPrefix((&Rewriting{changes}).Error(), "data.k is not as declared; ") {
		t.Errorf("got %+v", changes)
	}
}
