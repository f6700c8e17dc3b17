package contract

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

type example struct {
	Method, Path, Kind, Name string
	Status                   int
	Value                    json.RawMessage
}

func examples(t testing.TB, name string) []example {
	t.Helper()
	packed, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := gunzip(packed)
	if err != nil {
		t.Fatal(err)
	}
	var out []example
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// GitHub's own examples keep to GitHub's own schemas, save those listed in the
// golden file, most of them older than a field that is required today. This
// is what shows that the checker does not refuse what GitHub really says.
func TestGitHubsOwnExamples(t *testing.T) {
	t.Parallel()
	c := load4test(t)
	passed := 0
	var refused []string
	for _, e := range examples(t, "testdata/github-examples.json.gz") {
		path := parameter.ReplaceAllStringFunc(e.Path, func(name string) string {
			if strings.HasSuffix(name, "_id}") || strings.HasSuffix(name, "_number}") {
				return "1"
			}
			return "x"
		})
		var err error
		switch e.Kind {
		case "request":
			err = c.CheckRequest(request(e.Method, path, string(e.Value)), e.Value)
		case "response":
			err = c.CheckResponse(request(e.Method, path, ""), e.Status, http.Header{"Content-Type": {"application/json"}}, e.Value)
		}
		if err == nil {
			passed++
			continue
		}
		first, _, _ := strings.Cut(err.Error(), "\n")
		refused = append(refused, fmt.Sprintf("%s %s %s %d %s: %.120s\n", e.Kind, e.Method, e.Path, e.Status, e.Name, first))
	}
	sort.Strings(refused)
	got := strings.Join(refused, "")
	const golden = "testdata/refused-examples.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the refused examples changed; look at them, then -update:\n%s", got)
	}
	if passed < 150 {
		t.Errorf("only %d examples pass", passed)
	}
	t.Logf("%d pass, %d are refused", passed, len(refused))
}
