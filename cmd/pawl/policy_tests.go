package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/policies/shipped"
)

// policiesFolder is where policies are looked for if neither the command line
// nor a pawl.yaml around the current folder names any.
const policiesFolder = "policies"

// ownPolicies are the folders that pawl.yaml names.
func ownPolicies() ([]string, error) {
	c, err := openCheckout("")
	if err == nil && len(c.Pipeline.Spec.Policies) > 0 {
		var folders []string
		for _, folder := range c.Pipeline.Spec.Policies {
			folders = append(folders, filepath.Join(c.folder, folder))
		}
		return folders, nil
	}
	var answer answerNo
	if errors.As(err, &answer) {
		return nil, err // a pawl.yaml that does not load
	}
	if _, err := os.Stat(policiesFolder); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no pawl.yaml names policies, and there is no folder %s here; name the folder of your policies", policiesFolder)
	}
	return []string{policiesFolder}, nil
}

func policyTestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [FOLDER...]",
		Short: "Run the tests of policies, as far as the agent would let them go",
		Long: `Runs the rules named test_… of the policies in the folders, with the same
functions, limits and checks that policies have in the agent. A folder with .rego
files is one policy, with all that is below it; one without is a folder of such
folders. With no folder these are the
ones that pawl.yaml names, or else ` + policiesFolder + `.

The exit code is 0 if all tests pass, 1 if one does not or a policy is wrong or
has no tests, and 2 if a folder cannot be read.`,
		Example: "  pawl policy test policies\n  pawl policy test --shipped",
	}
	output := outputFlag(cmd, "text", "json")
	ours := cmd.Flags().Bool("shipped", false, "test the policies that pawl brings")
	limit := cmd.Flags().Duration("timeout", 0, "how long one test may take (default 5s)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sources, err := policySources(args, *ours)
		if err != nil {
			return err
		}
		show := progressOn(cmd.ErrOrStderr())
		defer show.done()
		report := policyReport{Policies: []testedPolicy{}}
		pool := rego.New(sealed.Options{})
		defer pool.Close()
		for _, s := range sources {
			show.say("testing %s", s.name)
			tested, err := testPolicy(cmd.Context(), pool, s, rego.Limits{Time: *limit})
			if err != nil {
				return err
			}
			report.Policies = append(report.Policies, tested)
		}
		show.done()
		if *output == "json" {
			err = writeJSON(cmd.OutOrStdout(), report)
		} else {
			report.write(cmd.OutOrStdout())
		}
		if err != nil {
			return err
		}
		return report.verdict()
	}
	return cmd
}

// policySource is a policy's files and where they are from.
type policySource struct {
	name, folder string // a shipped one has no folder
	files        map[string][]byte
}

func policySources(folders []string, ours bool) ([]policySource, error) {
	var sources []policySource
	if ours {
		for _, name := range shipped.Names() {
			files, err := shipped.Files(name)
			if err != nil {
				return nil, err
			}
			sources = append(sources, policySource{name: name, files: files})
		}
	} else if len(folders) == 0 {
		var err error
		if folders, err = ownPolicies(); err != nil {
			return nil, err
		}
	}
	for _, folder := range folders {
		fsys := os.DirFS(folder)
		found, err := rego.Folders(fsys, ".")
		if err != nil {
			return nil, inFolder(folder, err)
		}
		for _, below := range found {
			files, err := rego.Files(fsys, below)
			if err != nil {
				return nil, inFolder(folder, err)
			}
			at := filepath.Join(folder, filepath.FromSlash(below))
			absolute, err := filepath.Abs(at)
			if err != nil {
				return nil, err
			}
			sources = append(sources, policySource{filepath.Base(absolute), filepath.ToSlash(at), files})
		}
	}
	return sources, nil
}

// inFolder names the folder that a person named, which the error cannot know.
func inFolder(folder string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no folder %s", folder)
	}
	return fmt.Errorf("%s: %w", folder, err)
}

func testPolicy(ctx context.Context, pool *rego.Pool, s policySource, limits rego.Limits) (testedPolicy, error) {
	tested := testedPolicy{Policy: s.name, Folder: s.folder, Tests: []policyTest{}}
	results, err := pool.Test(ctx, s.name, s.files, limits)
	var wrong *rego.CompileError
	switch {
	case errors.As(err, &wrong):
		for _, p := range wrong.Problems {
			tested.Problems = append(tested.Problems, problem{File: s.path(p.File), Line: p.Line, Text: p.Text})
		}
		return tested, nil
	case err != nil:
		return tested, err
	}
	for _, r := range results {
		tested.Tests = append(tested.Tests, policyTest{
			Name: r.Name, File: s.path(r.File), Line: r.Line, Outcome: string(r.Outcome), Text: r.Text, Printed: r.Printed,
		})
	}
	if tested.count(rego.Skipped) == len(results) {
		tested.Problems = []problem{{File: s.folder, Text: "has no tests; write rules named test_… into a file that ends in _test.rego"}}
	}
	tested.Passed = len(tested.Problems) == 0 && tested.count(rego.Passed)+tested.count(rego.Skipped) == len(results)
	return tested, nil
}

// path is a file of the policy as a person would open it.
func (s policySource) path(file string) string {
	switch {
	case file == "":
		return s.folder
	case s.folder == "":
		return path.Join(s.name, file)
	default:
		return path.Join(s.folder, file)
	}
}

// policyReport is what `pawl policy test` found.
type policyReport struct {
	Policies []testedPolicy `json:"policies"`
}

// testedPolicy is how the tests of one policy ended.
type testedPolicy struct {
	Policy   string       `json:"policy"`
	Folder   string       `json:"folder,omitempty"`
	Passed   bool         `json:"passed"`
	Problems []problem    `json:"problems,omitempty"` // why no test was run
	Tests    []policyTest `json:"tests"`
}

type policyTest struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Outcome string `json:"outcome"` // passed, failed, error or skipped
	Text    string `json:"text,omitempty"`
	Printed string `json:"printed,omitempty"`
}

func (t testedPolicy) count(outcome rego.Outcome) int {
	n := 0
	for _, test := range t.Tests {
		if test.Outcome == string(outcome) {
			n++
		}
	}
	return n
}

func (r policyReport) write(out io.Writer) {
	for _, p := range r.Policies {
		p.write(out)
	}
}

func (t testedPolicy) write(out io.Writer) {
	name := t.Folder
	if name == "" {
		name = t.Policy
	}
	for _, p := range t.Problems {
		at := p.File
		if p.File == "" {
			at = name
		}
		if p.Line > 0 {
			at = fmt.Sprintf("%s:%d", at, p.Line)
		}
		fmt.Fprintf(out, "✗ %s: %s\n", at, printable(p.Text))
	}
	for _, test := range t.Tests {
		switch rego.Outcome(test.Outcome) {
		case rego.Passed:
			continue
		case rego.Skipped:
			fmt.Fprintf(out, "◐ %s:%d: %s: skipped\n", test.File, test.Line, test.Name)
		default:
			fmt.Fprintf(out, "✗ %s:%d: %s: %s\n", test.File, test.Line, test.Name, printable(test.Text))
		}
		for line := range strings.Lines(test.Printed) {
			fmt.Fprintf(out, "    %s\n", printable(strings.TrimSuffix(line, "\n")))
		}
	}
	if passed := t.count(rego.Passed); t.Passed {
		fmt.Fprintf(out, "✓ %s: %s passed\n", name, count(passed, "test"))
	} else if len(t.Problems) == 0 {
		fmt.Fprintf(out, "✗ %s: %d of %s did not pass\n", name, len(t.Tests)-passed-t.count(rego.Skipped), count(len(t.Tests), "test"))
	}
}

// verdict is no if a policy did not pass. What is wrong has been said.
func (r policyReport) verdict() error {
	failed := 0
	for _, p := range r.Policies {
		if !p.Passed {
			failed++
		}
	}
	switch {
	case failed == 0:
		return nil
	case len(r.Policies) == 1:
		return no
	default:
		return answerNo{fmt.Errorf("%d of %d policies did not pass", failed, len(r.Policies))}
	}
}
