package promote

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; if it is meant, run the tests with -update (-want +got):\n%s", file, diff)
	}
}

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

var goldenChanges = []Change{
	{Repository: "ghcr.io/acme/web", Digest: digest("a")},
	{Repository: "index.docker.io/library/nginx", Digest: digest("b")},
	{Repository: "ghcr.io/acme/api", Digest: digest("c")},
	{Repository: "docker.io/acme/web", Digest: digest("d"), Name: "acme/web"},
}

func TestBumpKeepsEverythingElse(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/bump/*.yaml")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out, err := Bump(text, file, goldenChanges)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", out)
			again, err := Bump(out, file, goldenChanges)
			if err != nil || !bytes.Equal(out, again) {
				t.Errorf("a second bump to the same digests changes something (%v):\n%s", err, cmp.Diff(string(out), string(again)))
			}
		})
	}
}

func TestBumpWithoutChangesIsTheSame(t *testing.T) {
	t.Parallel()
	text := []byte("images:\n- name: ghcr.io/acme/web\n  digest: " + digest("a") + " # x\n")
	for what, changes := range map[string][]Change{
		"nothing to do":         nil,
		"the same digest":       {{Repository: "ghcr.io/acme/web", Digest: digest("a")}},
		"the same digest twice": {{Repository: "ghcr.io/acme/web", Digest: digest("a")}, {Repository: "ghcr.io/acme/web", Digest: digest("a")}},
	} {
		if out, err := Bump(text, "k.yaml", changes); err != nil || !bytes.Equal(out, text) {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
}

func TestBumpRefuses(t *testing.T) {
	t.Parallel()
	web := []Change{{Repository: "ghcr.io/acme/web", Digest: digest("a")}}
	entry := "images:\n- name: ghcr.io/acme/web\n  digest: " + digest("0") + "\n"
	for _, c := range []struct {
		what, text string
		changes    []Change
		want       string
	}{
		{"an anchor in images", "images: &i\n- name: ghcr.io/acme/web\n  newTag: v1\nx: *i\n", web, "k.yaml:1: images uses YAML anchors"},
		{"an alias in images", "x: &t v1\nimages:\n- name: ghcr.io/acme/web\n  newTag: *t\n", web, "k.yaml:4: images uses YAML anchors"},
		{"a merge key in images", "x: &t {newTag: v1}\nimages:\n- name: ghcr.io/acme/web\n  <<: *t\n", web, "k.yaml:4: images uses YAML anchors"},
		{"several documents", entry + "---\n" + entry, web, "several YAML documents"},
		{"an empty file", "", web, "not a kustomization"},
		{"only comments", "# nothing\n", web, "not a kustomization"},
		{"a list", "- a\n", web, "no mapping"},
		{"broken YAML", "images: [\n", web, "not a kustomization"},
		{"duplicate fields", entry + entry, web, "already defined"},
		{"UTF-16", "\xff\xfei\x00", web, "not UTF-8"},
		{"images that is no list", "images: {a: b}\n", web, "k.yaml:1: images is no list"},
		{"an entry that is no mapping", "images:\n- ghcr.io/acme/web\n", web, "k.yaml:2: an entry of images is no mapping"},
		{"a repository that is renamed away", "images:\n- name: ghcr.io/acme/web\n  newName: ghcr.io/acme/fork\n", web, "k.yaml:2: ghcr.io/acme/web is renamed to ghcr.io/acme/fork here"},
		{"a value of several lines", "images:\n- name: ghcr.io/acme/web\n  newTag: >-\n    v1\n", web, "k.yaml:3: this value is written in a form"},
		{"a tagged value", "images:\n- name: ghcr.io/acme/web\n  newTag: !!str v1\n", web, "k.yaml:3: this value is written in a form"},
		{"a comment within brackets", "images: [{name: ghcr.io/acme/x} # x\n  ]\n", web, "k.yaml:1: there is a comment before the closing bracket"},
		{"a short digest", entry, []Change{{Repository: "ghcr.io/acme/web", Digest: "sha256:abc"}}, `"sha256:abc" is no digest`},
		{"a digest with a line break", entry, []Change{{Repository: "ghcr.io/acme/web", Digest: digest("a") + "\n"}}, "is no digest"},
		{"no repository", entry, []Change{{Repository: "a b", Digest: digest("a")}}, `"a b" is no image repository`},
		{"a name of another repository", entry, []Change{{Repository: "ghcr.io/acme/web", Name: "nginx", Digest: digest("a")}}, "does not name"},
		{"two digests for one repository", entry, []Change{{Repository: "nginx", Digest: digest("a")}, {Repository: "docker.io/library/nginx", Digest: digest("b")}}, "two digests"},
		{"a last line that an addition would change", "patches:\n- patch: |\n    x: 1", web, "without changing something else"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			out, err := Bump([]byte(c.text), "k.yaml", c.changes)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "k.yaml:") {
				t.Errorf("got error %v, want %q\n%s", err, c.want, out)
			}
		})
	}
}

// FuzzBump: whatever the file, the result is refused or is the same file with
// other digests. Bump compares the meaning itself; the text is compared here.
func FuzzBump(f *testing.F) {
	files, _ := filepath.Glob("testdata/bump/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("images:\n- {name: nginx,newTag: 'a''b'}\n- name: \"ng\\x69nx\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		out, err := Bump(text, "k.yaml", goldenChanges)
		if err != nil {
			return
		}
		again, err := Bump(out, "k.yaml", goldenChanges)
		if err != nil || !bytes.Equal(out, again) {
			t.Errorf("not stable (%v)\n%q\n%q", err, out, again)
		}
		// Every comment is still there.
		for _, comment := range commentsOf(t, text) {
			if !bytes.Contains(out, []byte(comment)) {
				t.Errorf("the comment %q is lost\n%q\n%q", comment, text, out)
			}
		}
	})
}

func commentsOf(t *testing.T, text []byte) []string {
	root, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for _, c := range []string{n.HeadComment, n.LineComment, n.FootComment} {
			for _, line := range strings.Split(c, "\n") {
				if line != "" {
					out = append(out, line)
				}
			}
		}
		for _, child := range n.Content {
			walk(child)
		}
	}
	walk(root)
	return out
}
