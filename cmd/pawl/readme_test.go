package main

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/environments"
)

// repositoryRoot is seen from here.
const repositoryRoot = "../.."

// What documents and messages tell people to type is held to the command.

func TestEveryCommandThatPeopleAreToldExists(t *testing.T) {
	t.Parallel()
	told := 0
	for place, phrases := range documents(t) {
		for _, phrase := range phrases {
			told++
			if err := typeable(phrase); err != nil {
				t.Errorf("%s says %q: %v", place, "pawl "+phrase, err)
			}
		}
	}
	for place, phrases := range messages(t) {
		for _, phrase := range phrases {
			told++
			if err := typeable(phrase); err != nil {
				t.Errorf("%s says %q: %v", place, "pawl "+phrase, err)
			}
		}
	}
	if told < 60 {
		t.Errorf("only %d commands were found: the search is broken", told)
	}
}

func TestWhatIsNoCommandIsNotTypeable(t *testing.T) {
	t.Parallel()
	for phrase, good := range map[string]bool{
		"check":                              true,
		"pin production/web --dry-run":       true,
		"status -o json":                     true,
		"agent --config FILE":                true,
		"demo --once --kubeconfig=FILE":      true,
		"status              # -o xml":       true,
		"completion bash":                    true,
		"schema pipeline":                    true,
		"override production/web":            false,
		"pin production/web --all":           false,
		"check production/web":               false,
		"schema policy":                      false,
		"status -x":                          false,
		"render production/web staging/web":  false,
		"promote production/web":             false,
		"demo --twice":                       false,
		"verify production/web --repository": false,
	} {
		if err := typeable(phrase); (err == nil) != good {
			t.Errorf("%q: %v", phrase, err)
		}
	}
}

// typeable says why a command line, without its first word, cannot be typed.
// Arguments may be missing, or stand for others in capitals; what is there
// must fit.
func typeable(phrase string) error {
	root := newRoot()
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	var words []string
	for _, word := range strings.Fields(phrase) {
		if word == "#" || word == "&" || word == "|" || word == "·" {
			break
		}
		words = append(words, word)
	}
	command, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	command.InitDefaultHelpFlag()
	if err := command.ParseFlags(rest); err != nil {
		return err
	}
	arguments := slices.DeleteFunc(command.Flags().Args(), func(a string) bool { return a == strings.ToUpper(a) })
	if len(arguments) == 0 {
		return nil
	}
	return command.ValidateArgs(arguments)
}

var (
	codeBlock  = regexp.MustCompile("(?ms)^[ ]*```.*?^[ ]*```")
	codeSpan   = regexp.MustCompile("`[^`\n]+`")
	pawlLine   = regexp.MustCompile(`(?m)^[ ]*(?:bin/)?pawl ([a-z].*)$`)
	pawlPhrase = regexp.MustCompile("[`\"]pawl ([a-z][^`\"\n]*)[`\"]")
)

// documents are the commands in the documents, by file: lines of code blocks,
// and code within a sentence.
func documents(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, file := range markdown(t) {
		text := readFile(t, file)
		for _, block := range codeBlock.FindAllString(text, -1) {
			for _, m := range pawlLine.FindAllStringSubmatch(block, -1) {
				found[file] = append(found[file], m[1])
			}
		}
		for _, span := range codeSpan.FindAllString(codeBlock.ReplaceAllString(text, ""), -1) {
			if m := pawlPhrase.FindStringSubmatch(span); m != nil {
				found[file] = append(found[file], m[1])
			}
		}
	}
	return found
}

// messages are the commands in what the code says, by file: in quotes or
// backquotes, or a line of a longer text.
func messages(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	walk(t, ".go", func(file string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				return true
			}
			for _, form := range []*regexp.Regexp{pawlPhrase, pawlLine} {
				for _, m := range form.FindAllStringSubmatch(text, -1) {
					found[file] = append(found[file], m[1])
				}
			}
			return true
		})
	})
	return found
}

func TestEveryMakeTargetThatPeopleAreToldExists(t *testing.T) {
	t.Parallel()
	makefile := readFile(t, filepath.Join(repositoryRoot, "Makefile"))
	target := regexp.MustCompile(`\bmake ([a-z][a-z-]*)`)
	told := 0
	for _, file := range markdown(t) {
		text := readFile(t, file)
		code := strings.Join(codeBlock.FindAllString(text, -1), "\n") + strings.Join(codeSpan.FindAllString(codeBlock.ReplaceAllString(text, ""), -1), "\n")
		for _, m := range target.FindAllStringSubmatch(code, -1) {
			told++
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s says %q, and the Makefile has no such target", file, m[0])
			}
		}
	}
	if told < 8 {
		t.Errorf("only %d were found: the search is broken", told)
	}
}

// Everything in the README's table of commands exists by the test above; this
// is the other way round.
func TestEveryCommandIsInTheREADME(t *testing.T) {
	t.Parallel()
	text := readFile(t, filepath.Join(repositoryRoot, "README.md"))
	for _, command := range newRoot().Commands() {
		if name := command.Name(); name != "version" && !regexp.MustCompile("(?m)^\\| .*`pawl "+name+"[ `].* \\|").MatchString(text) {
			t.Errorf("pawl %s is missing in the table of commands", name)
		}
	}
}

func TestThePipelineOfTheREADMELoads(t *testing.T) {
	t.Parallel()
	m := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(readFile(t, filepath.Join(repositoryRoot, "README.md")))
	if m == nil {
		t.Fatal("there is none")
	}
	p, err := environments.Load("pawl.yaml", []byte(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	if order := p.Order(); len(order) != 3 || order[2].Name != "production" || len(order[0].Track) != 1 {
		t.Errorf("it says %+v", order)
	}
}

// Files and folders that the documents name are there.
func TestWhatDocumentsNameIsThere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)\s]*)?\)`)
	file := regexp.MustCompile("`((?:[a-z]+/)+[a-z_.]+/?)`")
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"} {
		text := codeBlock.ReplaceAllString(readFile(t, filepath.Join(repositoryRoot, name)), "")
		for _, form := range []*regexp.Regexp{link, file} {
			for _, m := range form.FindAllStringSubmatch(text, -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				if _, err := os.Stat(filepath.Join(repositoryRoot, filepath.FromSlash(m[1]))); err != nil {
					t.Errorf("%s names %s: %v", name, m[1], err)
				}
			}
		}
	}
}

// demoTimeout is far more than a demo takes, so that a hanging one fails.
const demoTimeout = 5 * time.Minute

// `make demo ARGS=--once` is this command, with all its real servers.
func TestTheDemoOfTheREADME(t *testing.T) {
	t.Parallel()
	if !strings.Contains(readFile(t, filepath.Join(repositoryRoot, "Makefile")), "bin/pawl demo $(ARGS)") {
		t.Error("make demo is another command")
	}
	ctx, cancel := context.WithTimeout(t.Context(), demoTimeout)
	defer cancel()
	demo := exec.CommandContext(ctx, "pawl", "demo", "--once")
	demo.Dir = repositoryRoot
	demo.Cancel = func() error { return demo.Process.Signal(os.Interrupt) } // it ends its servers then
	demo.WaitDelay = time.Minute
	demo.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := demo.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for chapter := 1; chapter <= 6; chapter++ {
		if !regexp.MustCompile(`(?m)^ *` + strconv.Itoa(chapter) + `  \S`).Match(out) {
			t.Errorf("chapter %d was not told", chapter)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

func markdown(t *testing.T) []string {
	t.Helper()
	var files []string
	walk(t, ".md", func(file string) { files = append(files, file) })
	return files
}

// walk visits the files with an ending, but not those that tests are about.
func walk(t *testing.T, ending string, visit func(file string)) {
	t.Helper()
	err := filepath.WalkDir(repositoryRoot, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != repositoryRoot && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "bin"):
			return fs.SkipDir
		case strings.HasSuffix(file, ending):
			visit(file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
