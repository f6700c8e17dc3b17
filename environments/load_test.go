package environments_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/environments"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The files in testdata/bad are named for what is wrong with them; beside each
// stands what is said about it. catalogue 119
func TestBadPipelinesAreRefusedWithEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no bad files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := environments.Load("pawl.yaml", data)
			var problems *environments.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("not refused: %v", err)
			}
			if p.Spec.Environments != nil || p.Kind != "" {
				t.Errorf("a refused pipeline is not empty: %+v", p)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", []byte(err.Error()+"\n"))
		})
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

// The schema that editors use is the one that files are checked against.
func TestSchemaIsTheCommittedOne(t *testing.T) {
	t.Parallel()
	golden(t, "pipeline.schema.json", environments.PipelineSchema().JSON())
}

func TestEveryFieldOfTheSchemaIsDescribed(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"overlays", "after", "track", "promotion", "drift", "healthTimeout", "image", "tag", "semver", "merge", "batch"} {
		_, rest, ok := bytes.Cut(environments.PipelineSchema().JSON(), []byte(`"`+field+`": {`))
		if object, _, _ := bytes.Cut(rest, []byte("}\n")); !ok || !bytes.Contains(object, []byte(`"description"`)) && !bytes.Contains(rest[:600], []byte(`"description"`)) {
			t.Errorf("%s has no description", field)
		}
	}
}

const minimal = `apiVersion: pawl.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec:
  overlays: overlays/{env}
  environments:
`

func TestDefaultsAreFilledIn(t *testing.T) {
	t.Parallel()
	p, err := environments.Load("pawl.yaml", []byte(minimal+"    - name: dev\n    - {name: live, after: [dev], drift: report, healthTimeout: 1h30m, promotion: {merge: auto}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []environments.Environment{
		{Name: "dev", Promotion: environments.Promotion{Merge: environments.MergeManual, Batch: environments.BatchApplication},
			Drift: environments.DriftCorrect, Rollback: environments.Rollback{OnFailure: environments.RollbackAuto}, HealthTimeout: environments.Duration(5 * time.Minute)},
		{Name: "live", After: []string{"dev"}, Promotion: environments.Promotion{Merge: environments.MergeAuto, Batch: environments.BatchApplication},
			Drift: environments.DriftReport, Rollback: environments.Rollback{OnFailure: environments.RollbackAuto}, HealthTimeout: environments.Duration(90 * time.Minute)},
	}
	if diff := cmp.Diff(want, p.Spec.Environments); diff != "" {
		t.Error(diff)
	}
}

func TestAliasesAreReadWithinLimits(t *testing.T) {
	t.Parallel()
	p, err := environments.Load("pawl.yaml", []byte(minimal+"    - {name: dev, healthTimeout: &long 1h}\n    - {name: live, after: [dev], healthTimeout: *long}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if live, _ := p.Environment("live"); live.HealthTimeout != environments.Duration(time.Hour) {
		t.Errorf("live waits %s", live.HealthTimeout)
	}
}

// catalogue 1, for pawl.yaml
func TestDocumentsMadeToExhaustAreRefused(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		prev := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+prev+",", 9), ",") + "]\n"
	}
	for name, text := range map[string]string{
		"an alias bomb":                 bomb,
		"an alias that contains itself": "a: &a [*a]\n",
		"brackets without end":          strings.Repeat("[", 200_000),
		"braces without end":            strings.Repeat("{a: ", 50_000),
		"a file that is too long":       "a: " + strings.Repeat("x", environments.MaxDocumentBytes),
		"UTF-16":                        "\xff\xfea\x00:\x00 \x00b\x00",
		"a NUL byte":                    "a: \x00",
		"nothing":                       "",
		"a comment alone":               "# later\n",
		"two documents":                 "a: b\n---\nc: d\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := environments.Load("pawl.yaml", []byte(text))
			var problems *environments.Problems
			if !errors.As(err, &problems) {
				t.Fatal("not refused")
			}
			if len(problems.List) > 30 || len(err.Error()) > 10_000 {
				t.Errorf("says too much: %d problems, %d bytes", len(problems.List), len(err.Error()))
			}
		})
	}
}

func TestProblemsAreListedInTheOrderOfTheFileAndTheTextIsBounded(t *testing.T) {
	t.Parallel()
	text := minimal + "    - name: dev\n"
	for range 40 {
		text += "    - {name: dev, after: [dev]}\n"
	}
	_, err := environments.Load("pawl.yaml", []byte(text))
	var problems *environments.Problems
	if !errors.As(err, &problems) {
		t.Fatal("not refused")
	}
	if !slices.IsSortedFunc(problems.List, func(a, b environments.Problem) int { return a.Line - b.Line }) {
		t.Error("not in the order of the file")
	}
	if !strings.HasSuffix(err.Error(), "more") || strings.Count(err.Error(), "\n") > 26 {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range append(files, "example/pawl.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := environments.Load("pawl.yaml", data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x00\x1b\r") {
				t.Errorf("the error is not safe to print: %q", err)
			}
			return
		}
		order := p.Order()
		if len(order) != len(p.Spec.Environments) || len(order) == 0 || len(order[0].After) > 0 {
			t.Errorf("order %v of %v", order, p.Spec.Environments)
		}
		for _, e := range order[1:] {
			if len(e.Track) > 0 || len(e.After) == 0 {
				t.Errorf("%s tracks or comes after nothing", e.Name)
			}
		}
		if _, err := environments.Load("pawl.yaml", data); err != nil {
			t.Errorf("the second time: %v", err)
		}
	})
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
