package render

import (
	"reflect"
	"strings"
	"testing"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// Walking the nodes and going by way of text, as kustomize does, must come to
// the same: seeds are the values that differ between YAML's versions.
func FuzzDecode(f *testing.F) {
	for _, value := range []string{
		"1", "-7", "0", "007", "0o17", "0x1F", "1_000", "1.0", "1.5", "1e3", "-0", ".5", "5.", "+1", "12345678901234567890", "1e400",
		".inf", ".nan", "true", "True", "yes", "no", "on", "y", "~", "null", "", "''", "\"1\"", "2026-11-20", "2026-11-20T10:00:00Z", "12:30", "1:20",
		"!!str 1", "!!int 1", "!!float 1", "!!binary aGVsbG8=", "!!bool yes", "!custom x", "=", "<<", "[1, a, [~]]", "{a: 1, 2: b}", "{true: x}", "{~: x}", "|\n  two\n  lines",
		"&a [*a]", "{a: &x {b: 1}, c: *x}", "{a: &x {b: 1}, c: {<<: *x, d: 2}}", "{a: 1, a: 2}",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.Count(value, "*") > 3 {
			return // aliases are unfolded by both, but before they are counted
		}
		node, err := kyaml.Parse("apiVersion: v1\nkind: X\nvalue: " + value + "\n")
		if err != nil || node.YNode().Kind != kyaml.MappingNode {
			return
		}
		got, gotErr := decode(node)
		text, wantErr := node.MarshalJSON()
		var want map[string]any
		if wantErr == nil {
			wantErr = utiljson.Unmarshal(text, &want)
		}
		if (gotErr != nil) != (wantErr != nil) {
			t.Fatalf("%q: error %v, by text %v", value, gotErr, wantErr)
		}
		if gotErr == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n   got %#v\nby text %#v", value, got, want)
		}
	})
}
