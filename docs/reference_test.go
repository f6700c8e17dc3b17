// Package docs_test keeps the documents true to the code.
package docs_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	goconstant "go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/deploy"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is what stands under a heading, up to the next one.
func section(t *testing.T, title string) string {
	t.Helper()
	_, text, ok := strings.Cut(read(t, "reference.md"), "\n## "+title+"\n")
	if !ok {
		t.Fatalf("reference.md has no section %q", title)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// rows are the rows of a section's tables by what their first cell has as
// code, or their second one where column is 1.
func rows(t *testing.T, title string, column int) map[string]string {
	t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(section(t, title)) {
		cells := strings.Split(line, "|")
		if len(cells) < column+3 {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(cells[column+1], -1) {
			if _, twice := found[m[1]]; twice && column == 0 {
				t.Errorf("%s: %s stands twice", title, m[1])
			}
			found[m[1]] = line
		}
	}
	return found
}

var code = regexp.MustCompile("`([^`]+)`")

// schema is what is looked at of a JSON Schema.
type schema struct {
	Ref        string             `json:"$ref"`
	Defs       map[string]*schema `json:"$defs"`
	Properties map[string]*schema
	Items      *schema
	Required   []string
	Enum       []string
	Default    any
	Minimum    *int
	MaxItems   *int
	MinItems   *int
	MaxLength  *int
}

// fields walks a schema and calls visit for every field by its path.
func (s *schema) fields(root *schema, path string, visit func(path string, field *schema, required bool)) {
	for name, field := range s.Properties {
		declared := field
		if field.Ref != "" {
			field = root.Defs[strings.TrimPrefix(field.Ref, "#/$defs/")]
		}
		at := strings.TrimPrefix(path+"."+name, ".")
		merged := *field
		merged.Default = declared.Default
		visit(at, &merged, slices.Contains(s.Required, name))
		field.fields(root, at, visit)
		if item := field.Items; item != nil {
			if item.Ref != "" {
				item = root.Defs[strings.TrimPrefix(item.Ref, "#/$defs/")]
			}
			item.fields(root, at+"[]", visit)
		}
	}
}

func TestEveryFieldIsInTheReference(t *testing.T) {
	t.Parallel()
	for title, text := range map[string][]byte{
		"pawl.yaml":                 environments.PipelineSchema().JSON(),
		"The agent's configuration": agent.ConfigSchema().JSON(),
	} {
		var root schema
		if err := json.Unmarshal(text, &root); err != nil {
			t.Fatal(err)
		}
		documented := rows(t, title, 0)
		seen := map[string]bool{}
		root.fields(&root, "", func(path string, field *schema, required bool) {
			seen[path] = true
			row, ok := documented[path]
			if !ok {
				row, ok = documented[likeAnother(documented, path)]
			}
			if !ok {
				t.Errorf("%s: %s is missing", title, path)
				return
			}
			cells := strings.Split(row, "|")
			kind, normally := cells[2], strings.TrimSpace(cells[3])
			if required != (normally == "required") {
				t.Errorf("%s: %s: required is %v in the schema, the reference says %q", title, path, required, normally)
			}
			if field.Default != nil && normally != fmt.Sprintf("`%v`", field.Default) {
				t.Errorf("%s: %s: the default is %v, the reference says %s", title, path, field.Default, normally)
			}
			for _, value := range field.Enum {
				if !strings.Contains(kind, "`"+value+"`") {
					t.Errorf("%s: %s may be %s, which the reference does not say", title, path, value)
				}
			}
			for what, bound := range map[string]*int{"minimum": field.Minimum, "maxItems": field.MaxItems, "minItems": field.MinItems, "maxLength": field.MaxLength} {
				if bound == nil || what == "maxLength" && strings.Contains(kind, "name") && *bound == 63 {
					continue
				}
				if !slices.Contains(numbers.FindAllString(kind, -1), strconv.Itoa(*bound)) {
					t.Errorf("%s: %s: %s is %d, the reference says %q", title, path, what, *bound, strings.TrimSpace(kind))
				}
			}
		})
		for path := range documented {
			if !seen[path] {
				t.Errorf("%s: there is no field %s", title, path)
			}
		}
	}
}

var like = regexp.MustCompile("^list, [0-9–]+, like `([^`]+)`$")

// likeAnother is where the reference tells of a field by pointing to a list
// whose entries are the same: "list, 1–100, like `trust`".
func likeAnother(documented map[string]string, path string) string {
	for list, row := range documented {
		if rest, below := strings.CutPrefix(path, list+"[]."); below {
			if m := like.FindStringSubmatch(strings.TrimSpace(strings.Split(row, "|")[2])); m != nil {
				if path = m[1] + "[]." + rest; documented[path] == "" {
					return likeAnother(documented, path)
				}
			}
		}
	}
	return path
}

var numbers = regexp.MustCompile(`[0-9]+`)

// What the code fills in and checks itself is not in the schemas.
func TestDefaultsAndBoundsOfDurationsAreTheCodes(t *testing.T) {
	t.Parallel()
	config, err := agent.LoadConfig("agent.yaml", []byte(`{apiVersion: pawl.dev/v1alpha1, kind: Agent,
		repository: {url: https://github.com/acme/shop.git}, github: {token: {file: a}}, environments: [{name: a}],
		trust: [{images: "ghcr.io/acme/*", keys: [{name: a, file: a}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := func(v any) string { return fmt.Sprint(v) }
	for _, want := range []struct{ title, path, standard, least, most string }{
		{"The agent's configuration", "repository.poll", d(config.Repository.Poll), d(environments.Duration(agent.MinPoll)), d(environments.Duration(agent.MaxPoll))},
		{"The agent's configuration", "tags.poll", d(config.Tags.Poll), d(environments.Duration(agent.MinTagPoll)), d(environments.Duration(agent.MaxTagPoll))},
		{"The agent's configuration", "sigstore[].maxAge", "24h", "1m", "720h"},
		{"The agent's configuration", "render.limits.time", "30s", "1s", "10m"},
		{"pawl.yaml", "spec.environments[].healthTimeout", d(environments.Duration(environments.DefaultHealthTimeout)), d(environments.Duration(environments.MinHealthTimeout)), d(environments.Duration(environments.MaxHealthTimeout))},
	} {
		row := rows(t, want.title, 0)[want.path]
		if text := fmt.Sprintf("| duration, %s–%s | `%s` |", want.least, want.most, want.standard); !strings.Contains(row, text) {
			t.Errorf("%s: want %s in %s", want.path, text, row)
		}
	}
	if config.Repository.Branch != "main" || config.Namespace != "pawl-system" {
		t.Error("the defaults are others")
	}
}

func TestLimitsOfRenderingAreTheCodes(t *testing.T) {
	t.Parallel()
	fields, limits := rows(t, "The agent's configuration", 0), rows(t, "Rendering", 0)
	standard := reflect.ValueOf(render.Limits{}.WithDefaults())
	for i := range standard.NumField() {
		name := strings.ToLower(standard.Type().Field(i).Name)
		text := fmt.Sprint(standard.Field(i).Interface())
		switch v := standard.Field(i).Interface().(type) {
		case int64:
			text = size(v)
		case int:
			text = thousands(v)
		case time.Duration:
			text = fmt.Sprintf("%d s", int(v.Seconds()))
		}
		if !strings.Contains(limits[name], "| "+text+" ") {
			t.Errorf("Rendering: the standard of %s is %s; the reference says %s", name, text, limits[name])
		}
		short := strings.ReplaceAll(strings.ReplaceAll(text, " ", ""), "MiB", "Mi")
		if row := strings.ReplaceAll(fields["render.limits."+name], "`", ""); !strings.Contains(row, "| "+short+" |") {
			t.Errorf("the standard of render.limits.%s is %s; the reference says %s", name, short, row)
		}
	}
}

// Limits that are constants of the code, by where the reference tells of them.
func TestLimitsThatAreConstantsAreTheCodes(t *testing.T) {
	t.Parallel()
	for _, want := range []struct{ file, name, title, row string }{
		{"../render/judge.go", "maxObject", "Rendering", "Independent of the configuration"},
		{"../render/judge.go", "maxAnnotations", "Rendering", "Independent of the configuration"},
		{"../render/judge.go", "maxData", "Rendering", "Independent of the configuration"},
		{"../policies/cosign/look.go", "maxLayers", "Evidence", "| signatures, attestations, bundles"},
		{"../policies/cosign/look.go", "maxPayload", "Evidence", "| a signature in a tag"},
		{"../policies/cosign/look.go", "maxBundle", "Evidence", "| a signature in a tag"},
		{"../policies/cosign/look.go", "maxAttestation", "Evidence", "| an attestation, with"},
		{"../policies/cosign/look.go", "maxTogether", "Evidence", "| all of that"},
		{"../policies/cosign/look.go", "maxRejected", "Evidence", "| reasons why"},
		{"../policies/cosign/statement.go", "maxSubjects", "Evidence", "| subjects"},
		{"../policies/payload.go", "maxPredicateDepth", "Evidence", "| nesting"},
		{"../internal/expression/expression.go", "MaxLength", "Evidence", "| a condition"},
		{"../policies/condition.go", "maxConditionCost", "Evidence", "| a condition"},
		{"../internal/mounted/mounted.go", "maxFileBytes", "Evidence", "| a file of keys"},
		{"../internal/mounted/mounted.go", "maxFolderBytes", "Evidence", "| a file of keys"},
		{"../internal/mounted/mounted.go", "maxFolderFiles", "Evidence", "| a file of keys"},
		{"../internal/mounted/mounted.go", "maxFolderDepth", "Evidence", "| a file of keys"},
		{"../agent/demands/change.go", "inspected", "Commits and approvals", "- Up to 5,000 commits"},
		{"../cmd/pawl/policies.go", "policiesAtOnce", "Limits", "| a policy |"},
	} {
		value := constant(t, want.file, want.name)
		_, row, ok := strings.Cut(section(t, want.title), want.row)
		row, _, _ = strings.Cut(row, "\n")
		if !ok || !strings.Contains(row, thousands(int(value))) && !strings.Contains(row, size(value)) {
			t.Errorf("%s: %s is %d (%s); the reference says %q", want.file, want.name, value, size(value), want.row+row)
		}
	}
}

// constant is the value of a constant in a file, whatever unit it is written in.
func constant(t *testing.T, file, name string) int64 {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found ast.Expr
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && spec.Names[0].Name == name && len(spec.Values) == 1 {
			found = spec.Values[0]
		}
		return found == nil
	})
	if found == nil {
		t.Fatalf("%s has no constant %s", file, name)
	}
	evaluated, err := types.Eval(token.NewFileSet(), nil, token.NoPos, types.ExprString(found))
	if err != nil {
		t.Fatalf("%s: %s: %v", file, name, err)
	}
	value, ok := goconstant.Int64Val(evaluated.Value)
	if !ok {
		t.Fatalf("%s: %s is no whole number", file, name)
	}
	return value
}

// size is a number of bytes as documents write it.
func size(n int64) string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.bytes {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/float64(unit.bytes)), ".0") + " " + unit.name
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// thousands writes 10000 as 10,000.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// sources are the Go files that ship, parsed.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	for _, root := range []string{"../agent", "../cmd", "../drift", "../gitsync", "../promote", "../policies", "../render"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func literals(files map[string]*ast.File, visit func(file, text string)) {
	for file, content := range files {
		ast.Inspect(content, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if text, err := strconv.Unquote(l.Value); err == nil {
					visit(file, text)
				}
			}
			return true
		})
	}
}

func TestEveryMetricIsInTheReference(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^pawl_[a-z_]+$`)
	documented := rows(t, "Metrics", 0)
	seen := map[string]bool{}
	files := sources(t)
	literals(files, func(file, text string) {
		if name.MatchString(text) {
			seen[text] = true
			if _, ok := documented[text]; !ok {
				t.Errorf("%s: %s is missing", file, text)
			}
		}
	})
	for metric := range documented {
		if strings.HasPrefix(metric, "pawl_") && !seen[metric] {
			t.Errorf("there is no metric %s", metric)
		}
	}
	if len(seen) < 9 {
		t.Errorf("only %v are found in the code", seen)
	}
	// The labels: what follows name and help in a call of metrics.go.
	ast.Inspect(files["../agent/metrics.go"], func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		var texts []string
		for _, argument := range call.Args {
			if l, ok := argument.(*ast.BasicLit); ok && l.Kind == token.STRING {
				text, _ := strconv.Unquote(l.Value)
				texts = append(texts, text)
			}
		}
		if len(texts) > 2 && name.MatchString(texts[0]) {
			for _, label := range texts[2:] {
				if !strings.Contains(documented[texts[0]], "`"+label+"`") {
					t.Errorf("%s: its label %s is missing", texts[0], label)
				}
			}
		}
		return true
	})
}

func TestEveryRouteLabelAndCommandIsInTheReference(t *testing.T) {
	t.Parallel()
	routes, marks, commands := rows(t, "HTTP", 1), rows(t, "What is on your objects", 1), section(t, "Commands")
	route, mark := regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) /`), regexp.MustCompile(`^pawl\.dev/[a-z-]+$`)
	found := 0
	literals(sources(t), func(file, text string) {
		switch {
		case file == "../agent/http.go" && route.MatchString(text):
			found++
			if _, ok := routes[text]; !ok {
				t.Errorf("the route %s is missing", text)
			}
		case mark.MatchString(text) && text != environments.APIVersion:
			found++
			if _, ok := marks[text]; !ok {
				t.Errorf("%s: %s is missing", file, text)
			}
		}
	})
	if found < 8 {
		t.Errorf("only %d routes and labels are found in the code", found)
	}
	for file, content := range sources(t) {
		if !strings.HasPrefix(file, "../cmd/") {
			continue
		}
		ast.Inspect(content, func(n ast.Node) bool {
			field, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, isName := field.Key.(*ast.Ident)
			value, isText := field.Value.(*ast.BasicLit)
			if isName && isText && key.Name == "Use" {
				text, _ := strconv.Unquote(value.Value)
				if verb, _, _ := strings.Cut(text, " "); verb != "pawl" && !regexp.MustCompile("`pawl (policy )?"+verb+"[ `]").MatchString(commands) {
					t.Errorf("%s: the command %s is missing", file, verb)
				}
			}
			return true
		})
	}
}

func TestEveryRightIsInTheReference(t *testing.T) {
	t.Parallel()
	objects, err := deploy.RBAC()
	if err != nil {
		t.Fatal(err)
	}
	have, documented := map[string]bool{}, map[string]bool{}
	for _, o := range objects {
		if o.GetKind() != "ClusterRole" && o.GetKind() != "Role" {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				have[fmt.Sprintf("%s: %s %s", role.Name, strings.Join(rule.Verbs, ", "), resource)] = true
			}
		}
	}
	for line := range strings.Lines(section(t, "Rights")) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.Contains(cells[1], "`") {
			continue
		}
		for _, resource := range strings.Split(cells[3], ",") {
			documented[fmt.Sprintf("%s: %s %s", strings.Trim(cells[1], " `"), strings.TrimSpace(cells[4]), strings.TrimSpace(resource))] = true
		}
	}
	for right := range have {
		if !documented[right] {
			t.Errorf("not in the reference: %s", right)
		}
	}
	for right := range documented {
		if !have[right] {
			t.Errorf("in the reference, but not given: %s", right)
		}
	}
}

// Links within the repository lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	for _, file := range []string{
		"reference.md", "runbook.md", "reasons.md", "evidence.md", "policies.md", "../deploy/README.md", "../environments/example/README.md",
		"decisions/0003-rendering-in-a-child.md", "decisions/0004-demands-of-the-accepted-commit.md",
	} {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := file
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(file), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %s: %v", file, m[0], err)
				continue
			}
			if m[2] != "" && !slices.Contains(anchors(read(t, to)), m[2]) {
				t.Errorf("%s: %s has no heading %s", file, to, m[2])
			}
		}
	}
}

// anchors are those that GitHub gives a document's headings.
func anchors(text string) []string {
	var found []string
	drop := regexp.MustCompile(`[^a-z0-9 _-]`)
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(line, "#"); ok {
			title = strings.ToLower(strings.TrimSpace(strings.TrimLeft(title, "#")))
			found = append(found, "#"+strings.ReplaceAll(drop.ReplaceAllString(title, ""), " ", "-"))
		}
	}
	return found
}
