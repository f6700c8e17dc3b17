package drift

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFieldPathsAreThoseOfReports(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"spec.replicas",
		"spec.template.spec.containers[name=web].resources",
		"spec.ports[port=80,protocol=TCP].nodePort",
		"metadata.annotations[example.org/team]",
		"metadata.finalizers[example.org/guard]",
		"webhooks[name=a.example.org].clientConfig.caBundle",
		"spec.template.spec.containers[name=web].volumeMounts[mountPath=/a,b].subPath",
		"data[app.conf]",
	} {
		if p, err := parseFieldPath(text); err != nil || p.String() != text {
			t.Errorf("%s: got %v, %v", text, p, err)
		}
	}
	for text, why := range map[string]string{
		"":                         "a name is empty",
		"[a]":                      "begins with a bracket",
		"spec.":                    "a name is empty",
		"spec..replicas":           "a name is empty",
		"spec[":                    "a bracket is not closed",
		"spec[]":                   "what is in brackets is no key",
		"spec.a[*].b":              "does not stand for all items",
		"spec.a[b]c":               `behind a bracket comes "."`,
		"/spec/replicas":           `"/spec/replicas" is no name`,
		"spec.replicas.*":          `"*" is no name`,
		"spec replicas":            "is no name",
		"spec." + longer("a", 600): "longer than 512 bytes",
	} {
		if _, err := parseFieldPath(text); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "write it as drift is reported") {
			t.Errorf("%q: got %v, want %s", text, err, why)
		}
	}
}

func longer(s string, n int) string { return strings.Repeat(s, n) }

func TestAListOfFieldPaths(t *testing.T) {
	t.Parallel()
	paths, err := parseFieldPaths("spec.replicas, spec.ports[port=80,protocol=TCP].nodePort,metadata.labels[a.b/c]")
	if err != nil || len(paths) != 3 || paths[1].String() != "spec.ports[port=80,protocol=TCP].nodePort" {
		t.Errorf("got %v, %v", paths, err)
	}
	for _, list := range []string{"", "spec.replicas,", "spec.replicas,,spec.paused", "spec.replicas;spec.paused"} {
		if paths, err := parseFieldPaths(list); err == nil {
			t.Errorf("%q: got %v", list, paths)
		}
	}
}

func TestGraftingLiveValues(t *testing.T) {
	t.Parallel()
	const declared = `{"spec":{"replicas":2,"paused":false,"ports":[{"port":80,"name":"http","nodePort":1},{"port":81,"nodePort":2}],"deep":{"only":{"a":1}},"set":["x","y"]}}`
	const live = `{"spec":{"replicas":7,"ports":[{"port":81,"nodePort":20},{"port":80,"nodePort":10},{"port":82}],"other":1,"set":["y"]}}`
	for _, c := range []struct{ name, path, cut, over string }{
		{"a field", "spec.replicas",
			`{"spec":{"paused":false,"ports":[{"port":80,"name":"http","nodePort":1},{"port":81,"nodePort":2}],"deep":{"only":{"a":1}},"set":["x","y"]}}`,
			`{"spec":{"replicas":7,"paused":false,"ports":[{"port":80,"name":"http","nodePort":1},{"port":81,"nodePort":2}],"deep":{"only":{"a":1}},"set":["x","y"]}}`},
		{"a field of an item", "spec.ports[port=80].nodePort",
			`{"spec":{"replicas":2,"paused":false,"ports":[{"port":80,"name":"http"},{"port":81,"nodePort":2}],"deep":{"only":{"a":1}},"set":["x","y"]}}`,
			`{"spec":{"replicas":2,"paused":false,"ports":[{"port":80,"name":"http","nodePort":10},{"port":81,"nodePort":2}],"deep":{"only":{"a":1}},"set":["x","y"]}}`},
		{"an item", "spec.ports[port=81]",
			`{"spec":{"replicas":2,"paused":false,"ports":[{"port":80,"name":"http","nodePort":1}],"deep":{"only":{"a":1}},"set":["x","y"]}}`,
			`{"spec":{"replicas":2,"paused":false,"ports":[{"port":80,"name":"http","nodePort":1},{"port":81,"nodePort":20}],"deep":{"only":{"a":1}},"set":["x","y"]}}`},
		{"what live does not have, and parents that it leaves empty", "spec.deep.only.a",
			`{"spec":{"replicas":2,"paused":false,"ports":[{"port":80,"name":"http","nodePort":1},{"port":81,"nodePort":2}],"set":["x","y"]}}`,
			`{"spec":{"replicas":2,"paused":false,"ports":[{"port":80,"name":"http","nodePort":1},{"port":81,"nodePort":2}],"set":["x","y"]}}`},
		{"an item of a set", "spec.set[x]",
			`{"spec":{"replicas":2,"paused":false,"ports":[{"port":80,"name":"http","nodePort":1},{"port":81,"nodePort":2}],"deep":{"only":{"a":1}},"set":["y"]}}`,
			`{"spec":{"replicas":2,"paused":false,"ports":[{"port":80,"name":"http","nodePort":1},{"port":81,"nodePort":2}],"deep":{"only":{"a":1}},"set":["y"]}}`},
		{"what is not declared", "spec.other.a", declared, declared},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := parseFieldPath(c.path)
			if err != nil {
				t.Fatal(err)
			}
			for want, from := range map[string]any{c.cut: nil, c.over: tree(t, live)} {
				if diff := cmp.Diff(tree(t, want), graft(tree(t, declared), from, p.elements)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// An item that lacks part of the key, for the server's default, is taken for
// another one by no path.
//
// catalogue 98
func TestWhichItemsAPathMeans(t *testing.T) {
	t.Parallel()
	const ports = `[{"name":"dns","port":53},{"name":"dns-udp","port":53,"protocol":"UDP"}]`
	for _, c := range []struct {
		path, content string
		want          []string
	}{
		{"a[port=53,protocol=UDP]", ports, []string{"a[1]"}},
		{"a[port=53,protocol=TCP]", ports, []string{"a[0]"}},
		{"a[port=53,protocol=SCTP]", ports, nil},
		{"a[port=53]", ports, []string{"a[0]", "a[1]"}},
		{"a[port=53,protocol=UDP]", `[{"port":53}]`, nil},
		{"a[b=1,c=2]", `[{"b":1},{"b":1,"c":2}]`, []string{"a[1]"}},
		{"a[b=1,c=2]", `[{"b":1},{"b":2,"c":2}]`, []string{"a[0]"}},
		{"a[b=1,c=2]", `[{"b":1},{"c":2}]`, nil},
		{"a[b=1,c=2]", `[{"d":1}]`, nil},
		{"a[x]", `["x","y"]`, []string{"a[0]"}},
	} {
		p, err := parseFieldPath(c.path)
		if err != nil {
			t.Fatal(err)
		}
		content := tree(t, `{"a":`+c.content+`}`)
		if diff := cmp.Diff(c.want, p.find(content)); diff != "" {
			t.Errorf("%s in %s: %s", c.path, c.content, diff)
		}
		left, _ := graft(content, nil, p.elements).(map[string]any)["a"].([]any)
		if all := tree(t, c.content).([]any); len(left) != len(all)-len(c.want) {
			t.Errorf("%s in %s: left is %v", c.path, c.content, left)
		}
	}
}

func tree(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Whatever is accepted is printed as it was written, and its fields can be
// taken out of any content.
func FuzzParseFieldPath(f *testing.F) {
	for _, text := range []string{"spec.replicas", "spec.containers[name=web].resources", "a[b=c,d]", "metadata.labels[a.b/c]", "a[x][y].z"} {
		f.Add(text, `{"spec":{"replicas":1,"containers":[{"name":"web","resources":{}}]},"a":["x",{"b":"c,d"}]}`)
	}
	f.Fuzz(func(t *testing.T, text, content string) {
		p, err := parseFieldPath(text)
		if err != nil {
			return
		}
		var printed walker
		for _, e := range p.elements {
			if e.bracket {
				printed.path = append(append(append(printed.path, '['), e.text...), ']')
			} else {
				printed.enterField(e.text)
			}
		}
		if string(printed.path) != text {
			t.Errorf("%q is printed as %q", text, printed.path)
		}
		var v any
		if json.Unmarshal([]byte(content), &v) != nil {
			return
		}
		// An item that was taken out leaves another one as the only one that can be meant.
		item := p.elements[len(p.elements)-1].bracket
		if v = graft(v, nil, p.elements); len(p.find(v)) > 0 && !item {
			t.Errorf("%q is still there: %v", text, v)
		}
	})
}
