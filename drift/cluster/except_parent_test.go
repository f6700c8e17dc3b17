package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// The API server removes a map or list that its owner no longer declares with
// all in it that nobody owns. What is ignored is owned by nobody.
//
// catalogue 98
func TestWhatIsIgnoredOutlivesItsDeclaredSiblings(t *testing.T) {
	t.Parallel()
	secret := func(data string) string {
		return "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: '{ns}', annotations: {NOTE}}\ndata: {" + data + "}\n"
	}
	web := func(resources string) string {
		return strings.Replace(strings.Replace(deployment("a", 1, ""), "namespace: '{ns}'}", "namespace: '{ns}', annotations: {NOTE}}", 1),
			"{limits: {cpu: 1000m, memory: 1024Mi}}", resources, 1)
	}
	ports := func(ports string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: '{ns}', annotations: {NOTE}}\nspec: {clusterIP: None, selector: {a: b}, ports: [" + ports + "]}\n"
	}
	const requests = "spec.template.spec.containers[name=web].resources.requests"
	for name, c := range map[string]struct {
		object, ignored string
		key             string // of the ignored field, as the API server says who owns it
		full, alone     string // with declared siblings, and without
		edit            string // what somebody makes of the ignored field; without it, it stays as it was made
		at              string
		want            any
	}{
		"a key of a map": {"Secret/a", "data.cert", "f:cert", secret("cert: b25l, other: b25l"), secret("cert: b25l"),
			`{"data":{"cert":"dHdv"}}`, "data", map[string]any{"cert": "dHdv"}},
		"a key that nobody wrote since": {"Secret/a", "data.cert", "f:cert", secret("cert: b25l, other: b25l"), secret("cert: b25l"),
			"", "data", map[string]any{"cert": "b25l"}},
		"a map in an item": {"Deployment/a", requests, "f:requests", web("{limits: {cpu: 2}, requests: {cpu: 500m}}"), web("{requests: {cpu: 500m}}"),
			`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"ghcr.io/acme/web@` + digestA + `","ports":[{"containerPort":8080,"protocol":"TCP"}],"resources":{"limits":{"cpu":"2"},"requests":{"cpu":"700m"}}}]}}}}`,
			"spec.template.spec.containers[name=web].resources", map[string]any{"requests": map[string]any{"cpu": "700m"}}},
		"a field two maps down": {"Deployment/a", requests + ".cpu", "f:cpu", web("{limits: {cpu: 2}, requests: {memory: 1Mi, cpu: 500m}}"), web("{requests: {cpu: 500m}}"),
			"", "spec.template.spec.containers[name=web].resources", map[string]any{"requests": map[string]any{"cpu": "500m"}}},
		"an item": {"Service/a", "spec.ports[port=81,protocol=TCP]", `"port":81`, ports("{name: http, port: 80, protocol: TCP}, {name: more, port: 81, protocol: TCP}"), ports("{name: more, port: 81, protocol: TCP}"),
			"", "spec.ports", []any{map[string]any{"name": "more", "port": int64(81), "protocol": "TCP", "targetPort": int64(81)}}},
		"a field of an item": {"Service/a", "spec.ports[port=81,protocol=TCP].targetPort", "f:targetPort", ports("{name: http, port: 80, protocol: TCP}, {name: more, port: 81, protocol: TCP, targetPort: 9}"), ports("{port: 81, protocol: TCP, targetPort: 9}"),
			"", "spec.ports", []any{map[string]any{"port": int64(81), "protocol": "TCP", "targetPort": int64(9)}}},
	} {
		for _, by := range []string{"by the object", "by the environment", "from then on"} {
			t.Run(name+" "+by, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				note := "pawl.dev/ignore: '" + c.ignored + "'"
				kind, _, _ := strings.Cut(c.object, "/")
				rules := []environments.Ignore{{APIVersion: object(t, c.full).GetAPIVersion(), Kind: kind, Fields: []string{c.ignored}}}
				if by != "by the object" {
					note = "a: b"
				}
				if by == "by the environment" {
					w.settings.Ignore = rules
				}
				full, alone := strings.ReplaceAll(c.full, "NOTE", note), strings.ReplaceAll(c.alone, "NOTE", note)
				w.apply(full, configMap("b", "k", "1"))
				if by == "from then on" {
					w.cluster.Close() // else it is put back
				}
				if c.edit != "" {
					w.edit(c.object, c.edit)
				}
				if by == "from then on" {
					w.settings.Ignore = rules
					w.restart()
				}
				outlives := func(when string) {
					t.Helper()
					o := w.get(c.object)
					if diff := cmp.Diff(c.want, valueAt(o.Object, c.at)); diff != "" {
						t.Errorf("%s: %s", when, diff)
					}
					if fields := owned(t, o); strings.Contains(fields, c.key) {
						t.Errorf("%s: it is owned: %s", when, fields)
					}
				}
				w.apply(alone, configMap("b", "k", "1"))
				outlives("its siblings left")
				before := w.mark()
				w.restart()
				w.apply(alone, configMap("b", "k", "1"))
				w.calm("ConfigMap/b")
				for _, e := range w.writesSince(before) {
					if e.Name == "a" {
						t.Errorf("it is not steady: %s", e)
					}
				}
				w.apply(full, configMap("b", "k", "1")) // as a rollback does
				w.apply(alone, configMap("b", "k", "1"))
				outlives("they came and left again")
			})
		}
	}
}

// owned is what pawl owns of an object, as the API server writes it.
func owned(t *testing.T, o *unstructured.Unstructured) string {
	t.Helper()
	for _, m := range o.GetManagedFields() {
		if m.Manager == drift.FieldManager && m.Subresource == "" {
			return string(m.FieldsV1.Raw)
		}
	}
	t.Fatal("nothing is owned")
	return ""
}

// valueAt is the value at a path, in which an item of a list has one key.
func valueAt(content any, path string) any {
	for _, name := range strings.Split(path, ".") {
		name, key, isItem := strings.Cut(strings.TrimSuffix(name, "]"), "[")
		m, _ := content.(map[string]any)
		content = m[name]
		if !isItem {
			continue
		}
		field, value, _ := strings.Cut(key, "=")
		list, _ := content.([]any)
		i := slices.IndexFunc(list, func(item any) bool { return fmt.Sprint(item.(map[string]any)[field]) == value })
		if i < 0 {
			return nil
		}
		content = list[i]
	}
	return content
}
