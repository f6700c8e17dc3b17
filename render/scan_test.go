package render_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// noNetwork stands in for the transport that kustomize would fetch with.
type noNetwork struct{ asked chan string }

func (n noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case n.asked <- r.URL.String():
	default:
	}
	return nil, errors.New("there is no network")
}

// Whatever a kustomization says, rendering it neither asks the network nor runs
// git, nor panics, and fails only by errors that people can read.
func FuzzKustomization(f *testing.F) {
	for _, kustomization := range everyReference {
		f.Add(strings.ReplaceAll(kustomization, "%q", `"http://127.0.0.1:9/x.yaml"`), "http://127.0.0.1:9/y")
	}
	f.Add("resources:\n- settings.yaml\n", "path: a")
	f.Add("resources: [&a settings.yaml, *a]\n<<: {namespace: x}\n", "")
	f.Add("resources: [settings.yaml]\ntransformers: [plugin.yaml]\n", "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: git@example.org:x\n")
	f.Add("\xff\xfer\x00", "")
	transport := http.DefaultTransport
	network := noNetwork{make(chan string, 1)}
	http.DefaultTransport = network
	f.Setenv("PATH", f.TempDir())
	f.Cleanup(func() { http.DefaultTransport = transport })
	f.Fuzz(func(t *testing.T, kustomization, plugin string) {
		tree := trees.FromMap(map[string]string{
			"overlays/dev/kustomization.yaml": kustomization,
			"overlays/dev/settings.yaml":      settings,
			"overlays/dev/plugin.yaml":        plugin,
		})
		_, err := render.New(render.Options{Limits: render.Limits{Nodes: 10_000}}).Render(context.Background(), at(tree), dev)
		select {
		case url := <-network.asked:
			t.Fatalf("%s was asked for", url)
		default:
		}
		if err == nil {
			return
		}
		if strings.Contains(err.Error(), "no 'git' program") {
			t.Fatalf("git was looked for: %v", err)
		}
		var e *render.Error
		var empty *render.Empty
		var unpinned *render.UnpinnedError
		if !errors.As(err, &e) && !errors.As(err, &empty) && !errors.As(err, &unpinned) {
			t.Fatalf("%T: %v", err, err)
		}
		if strings.Contains(err.Error(), "\n") && unpinned == nil {
			t.Errorf("an error of several lines: %q", err)
		}
	})
}

// catalogue 1, catalogue 19, catalogue 20: what is too much is refused by name,
// before it is built.
func TestLimitsAreNamed(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return "list: " + strings.Repeat("[", n) + strings.Repeat("]", n) + "\n" }
	block := func(n int) string {
		text := ""
		for i := range n {
			text += strings.Repeat(" ", i) + "a:\n"
		}
		return text
	}
	for _, c := range []struct {
		what   string
		limits render.Limits
		files  map[string]string
		want   string
	}{
		{"too many bytes", render.Limits{Bytes: 100}, oneObject(settings), "object.yaml: the files of this overlay are larger than the limit of 100 bytes (render.limits.bytes"},
		{"64 MB in one file", render.Limits{}, oneObject("# " + strings.Repeat("x", 64<<20)), "larger than the limit of 64 MiB (render.limits.bytes"},
		{"too many files", render.Limits{Files: 1}, oneObject(settings), "object.yaml: this overlay reads more than 1 files, the limit (render.limits.files"},
		{"too many objects", render.Limits{Objects: 1}, oneObject(settings + "---\n" + strings.Replace(settings, "settings", "more", 1)), "kustomization.yaml: renders to 2 objects, the limit is 1 (render.limits.objects"},
		{"too much output", render.Limits{Output: 150}, oneObject(settings + "---\n" + strings.Replace(settings, "settings", "more", 1)), "larger than the limit of 150 bytes of JSON (render.limits.output"},
		{"aliases that unfold", render.Limits{Nodes: 100}, oneObject("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b]\n"), "more than 100 nodes once its aliases are unfolded, the limit (render.limits.nodes"},
		{"aliases that unfold in a kustomization", render.Limits{Nodes: 100}, map[string]string{"overlays/dev/kustomization.yaml": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b]\n"}, "more than 100 nodes"},
		{"aliases that unfold in an inline patch", render.Limits{Nodes: 100}, map[string]string{"overlays/dev/kustomization.yaml": "patches:\n  - patch: |\n      a: &a [x,x,x,x,x,x,x,x,x]\n      b: &b [*a,*a,*a,*a,*a,*a]\n      c: [*b,*b,*b]\n"}, "more than 100 nodes"},
		{"an anchor in itself", render.Limits{}, oneObject(settings + "list: &a [*a]\n"), "alias of itself"},
		{"nesting", render.Limits{Depth: 10}, oneObject(settings + deep(10)), "object.yaml:1: is nested more than 10 levels deep, the limit (render.limits.depth"},
		{"nesting by indentation", render.Limits{Depth: 10}, oneObject(settings + block(11)), "nested more than 10 levels deep"},
		{"nesting by aliases", render.Limits{Depth: 10}, oneObject("a: &a [[[[x]]]]\nb: &b [[[[*a]]]]\nc: [[*b]]\n"), "nested more than 10 levels deep"},
		{"nesting of 9,000", render.Limits{}, oneObject(settings + deep(9_000)), "nested more than 250 levels deep"},
		{"nesting of 200,000", render.Limits{}, oneObject(settings + deep(200_000)), "object.yaml:7: is nested more than 250 levels deep"},
		{"nesting that is built", render.Limits{Depth: 6}, map[string]string{
			"overlays/dev/kustomization.yaml": "resources: [object.yaml]\npatches:\n  - target: {kind: ConfigMap}\n    patch: |\n      - {op: add, path: /data/a, value: {b: {c: {}}}}\n      - {op: add, path: /data/a/b/c/d, value: {e: {f: {}}}}\n",
			"overlays/dev/object.yaml":        settings,
		}, "ConfigMap settings: is nested more than 6 levels deep"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			_, err := render.New(render.Options{Limits: c.limits}).Render(t.Context(), at(trees.FromMap(c.files)), dev)
			var e *render.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// catalogue 8: bases that come back to themselves end at once.
func TestCyclesEnd(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"itself":      {"overlays/dev/kustomization.yaml": "resources: [../dev]\n"},
		"its parent":  {"overlays/dev/kustomization.yaml": "resources: [..]\n", "overlays/kustomization.yaml": "resources: [dev]\n"},
		"each other":  {"overlays/dev/kustomization.yaml": "resources: [../a]\n", "overlays/a/kustomization.yaml": "components: [../dev]\n"},
		"by three":    {"overlays/dev/kustomization.yaml": "resources: [../a]\n", "overlays/a/kustomization.yaml": "resources: [../b]\n", "overlays/b/kustomization.yaml": "resources: [../a]\n"},
		"by a folder": {"overlays/dev/kustomization.yaml": "resources: [x]\n", "overlays/dev/x/kustomization.yaml": "resources: [../../dev]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
			defer stop()
			_, err := render.New(render.Options{}).Render(ctx, at(trees.FromMap(files)), dev)
			var e *render.Error
			if !errors.As(err, &e) || e.Field == "" {
				t.Errorf("%v, want the field that closes the circle", err)
			}
		})
	}
}

// catalogue 7: an overlay that is no folder inside the repository is refused,
// whoever wrote the pattern.
func TestOverlaysOutsideTheRepositoryAreRefused(t *testing.T) {
	t.Parallel()
	tree := trees.FromMap(map[string]string{"kustomization.yaml": "resources: [s.yaml]\n", "s.yaml": settings, "x/kustomization.yaml": "resources: [s.yaml]\n", "x/s.yaml": settings})
	for overlay, ok := range map[string]bool{
		".": true, "x": true, "x/": true, "./x": true,
		"..": false, "../x": false, "x/../..": false, "/": false, "/x": false, "x/../x": false, "y": false, "s.yaml": false, "https://example.org/x": false, "git@example.org:x": false,
	} {
		target := dev
		target.Overlay = overlay
		_, err := render.New(render.Options{}).Render(t.Context(), at(tree), target)
		if (err == nil) != ok {
			t.Errorf("%q: %v", overlay, err)
		}
	}
}

// catalogue 21: an object that the API server would refuse for its size is
// named before anything is sent.
func TestObjectsThatAreTooLargeAreNamed(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return strings.Repeat("x", n) }
	widget := "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\nspec:\n"
	for _, c := range []struct{ what, manifest, want string }{
		{"an object", widget + "  text: " + text(3<<19) + "\n", "object.yaml:1: Widget w: is 1572"},
		{"an object just so", widget + "  text: " + text(3<<19-100) + "\n", ""},
		{"annotations", "apiVersion: v1\nkind: Service\nmetadata:\n  name: w\n  annotations: {a: " + text(128<<10) + ", b: " + text(128<<10) + "}\n", "Service w: metadata.annotations: has 262146 bytes, more than the 256 KiB"},
		{"annotations just so", "apiVersion: v1\nkind: Service\nmetadata:\n  name: w\n  annotations: {a: " + text(128<<10-1) + ", b: " + text(128<<10-1) + "}\n", ""},
		{"a ConfigMap", settings + "  a: " + text(1<<20) + "\n", "ConfigMap settings: data: has 1048581 bytes, more than the 1 MiB"},
		{"a ConfigMap just so", settings + "  a: " + text(1<<20-5) + "\n", ""},
		{"a ConfigMap of bytes", settings + "binaryData:\n  a: " + base64.StdEncoding.EncodeToString([]byte(text(1<<20))) + "\n", "ConfigMap settings: data: has 1048581 bytes"},
		{"a Secret just so", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: " + base64.StdEncoding.EncodeToString([]byte(text(1<<20))) + "\n", ""},
		{"a Secret", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: " + base64.StdEncoding.EncodeToString([]byte(text(1<<20+1))) + "\n", "Secret s: data: has 1048577 bytes"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			_, err := rendered(t, trees.FromMap(oneObject(c.manifest)))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
