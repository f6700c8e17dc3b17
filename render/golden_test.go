package render_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/google/go-cmp/cmp"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// dev is the target of every case: its overlay is in overlays/dev.
var dev = environments.Target{Environment: "dev", Application: "shop", Overlay: "overlays/dev"}

const commit = gitsync.Commit("8d2e1a7c0ffee00000000000000000000000beef")

func at(tree gitsync.Tree) gitsync.Revision {
	return gitsync.Revision{Commit: commit, Tree: tree}
}

func rendered(t *testing.T, tree gitsync.Tree) (render.Release, error) {
	t.Helper()
	result, err := render.New(render.Options{}).Render(t.Context(), at(tree), dev)
	return result.Release, err
}

// Each testdata/*.txtar is a repository, its comment says what it shows, and
// its last file is what comes out: want.yaml, or the error in want.error.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			repository := map[string]string{}
			var input []txtar.File
			var want txtar.File
			for _, f := range archive.Files {
				if strings.HasPrefix(f.Name, "want.") {
					want = f
					continue
				}
				input = append(input, f)
				repository[f.Name] = unescape(string(f.Data))
			}
			got := outcome(rendered(t, trees.FromMap(repository)))
			if *update {
				archive.Files = append(input, got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want.Name+"\n"+string(want.Data), got.Name+"\n"+string(got.Data)); diff != "" {
				t.Errorf("-want +got (if meant: go test ./render -run TestGolden -update)\n%s", diff)
			}
		})
	}
}

// unescape lets a case have what an archive of text cannot: links and odd bytes.
func unescape(content string) string {
	if to, ok := strings.CutPrefix(content, "LINK "); ok {
		return trees.Link(strings.TrimSpace(to))
	}
	if strings.TrimSpace(content) == "SUBMODULE" {
		return trees.Submodule
	}
	return strings.NewReplacer("<NUL>", "\x00", "<TAB>", "\t", "<BOM>", "\ufeff", "<CR>", "\r").Replace(content)
}

func outcome(release render.Release, err error) txtar.File {
	if err != nil {
		return txtar.File{Name: "want.error", Data: fmt.Appendf(nil, "%T\n%v\n", err, err)}
	}
	var b bytes.Buffer
	for i, o := range release.Objects {
		if i > 0 {
			b.WriteString("---\n")
		}
		text, err := json.Marshal(o.Object)
		if err != nil {
			panic(err)
		}
		text, err = yaml.JSONToYAML(text)
		if err != nil {
			panic(err)
		}
		b.Write(text)
	}
	for _, image := range release.Images {
		fmt.Fprintf(&b, "# image %s, %s: %s tag %q\n", image.Object, image.Field, image.Pinned(), image.Tag)
	}
	return txtar.File{Name: "want.yaml", Data: b.Bytes()}
}

// What comes out is what kustomize makes of the same files on a file system of
// its own. It runs alone: kustomize's schema is one for the whole process.
func TestKustomizeSeesTheSameFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/[^b]*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	files = append(files, "testdata/base_component_patch.txtar", "testdata/builtin_transformers.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		repository, stock := map[string]string{}, filesys.MakeFsInMemory()
		for _, f := range archive.Files {
			repository[f.Name] = unescape(string(f.Data))
			if err := stock.WriteFile("/"+f.Name, []byte(repository[f.Name])); err != nil {
				t.Fatal(err)
			}
		}
		release, err := rendered(t, trees.FromMap(repository))
		if err != nil {
			continue // an image without a digest, say: kustomize does not mind
		}
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(stock, "/overlays/dev")
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{}
		for _, r := range built.Resources() {
			text, err := r.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			var o unstructured.Unstructured
			if err := o.UnmarshalJSON(text); err != nil {
				t.Fatal(err)
			}
			want[o.GetKind()+o.GetNamespace()+"/"+o.GetName()] = o.Object
		}
		got := map[string]any{}
		for _, o := range release.Objects {
			got[o.GetKind()+o.GetNamespace()+"/"+o.GetName()] = o.Object
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -kustomize +got\n%s", file, diff)
		}
	}
}
