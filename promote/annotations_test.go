package promote

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// lines are annotations as "file:line level title: message".
func lines(list []Annotation) string {
	var out []string
	for _, a := range list {
		out = append(out, fmt.Sprintf("%s:%d %s %s: %s", a.File, a.Line, a.Level, a.Title, strings.ReplaceAll(a.Message, "\n", " / ")))
	}
	return strings.Join(out, "\n")
}

func TestAnnotations(t *testing.T) {
	t.Parallel()
	placed := image("web", "3")
	placed.File, placed.Line, placed.Object = "apps/web/overlays/production/kustomization.yaml", 14, "Deployment shop/web"
	failed := func(err error) TargetState {
		s := staged("web", StageFailed)
		s.Images = []render.Image{placed}
		s.Places = map[string]render.Place{"Deployment shop/web": {File: "apps/web/base/deployment.yaml", Line: 3}}
		s.Problem = Problem{Text: "it failed", Hint: "Do something.", Err: err}
		return s
	}
	refusal := &policies.Refusal{
		Images: []policies.ImageRefusal{
			{Image: placed.Pinned(), Object: "Deployment shop/web", Demanded: "a signature", Found: "has none", Hint: "Sign it"},
			{Image: placed.Pinned(), Object: "Deployment shop/web", Field: "another", Demanded: "a signature", Found: "has none", Hint: "Sign it"},
			{Image: "ghcr.io/acme/other@" + digest("4"), Object: "Deployment shop/web", Demanded: "a signature", Found: "has none", Hint: "Sign it"},
			{Image: "ghcr.io/acme/other@" + digest("4"), Object: "Job shop/unknown", Demanded: "a signature", Found: "has none", Hint: "Sign it"},
		},
		Denials: []policies.Denial{
			{Kind: policies.DeniedByPolicy, Subject: "pods", Demanded: "that it denies nothing", Found: "denies", Hint: "Change it", Object: "Deployment shop/web"},
			{Kind: policies.DeniedByPolicy, Subject: "pods", Demanded: "that it denies nothing", Found: "denies", Hint: "Change it", File: "a.yaml", Line: 7},
			{Kind: policies.DeniedByApprovals, Subject: "pull request #1", Demanded: "2 approvals", Found: "has 1", Hint: "Approve it"},
		},
	}
	warned := healthy("production", "api", placed)
	warned.Policies = []policies.PolicyResult{{Policy: "probes", Warned: []policies.PolicyMessage{{Text: "has no probe", Object: "Deployment shop/web", Image: placed.Pinned()}, {Text: "lost"}}}}

	for name, c := range map[string]struct {
		state EnvironmentState
		want  string
	}{
		"nothing": {state(failed(errors.New("no place"))), ""},
		"refused": {state(failed(fmt.Errorf("judge: %w", refusal))), `
apps/web/overlays/production/kustomization.yaml:14 failure production/web: an image is refused: image ` + placed.Pinned() + ` has none / Demanded: a signature / Sign it
apps/web/base/deployment.yaml:3 failure production/web: an image is refused: image ghcr.io/acme/other@` + digest("4") + ` has none / Demanded: a signature / Sign it
apps/web/base/deployment.yaml:3 failure production/web: policy pods denies: pods denies / Demanded: that it denies nothing / Change it
a.yaml:7 failure production/web: policy pods denies: pods denies / Demanded: that it denies nothing / Change it`},
		"does not render": {state(failed(&render.Error{File: "apps/web/base/k.yaml", Line: 2, Field: "resources[2]", Err: errors.New("no such file")})), `
apps/web/base/k.yaml:2 failure production/web: does not render: resources[2]: no such file / Do something.`},
		"a place without a line": {state(failed(&render.Error{File: "apps/web/base/k.yaml", Err: errors.New("no such file")})), ""},
		"not pinned": {state(failed(&render.UnpinnedError{Unpinned: []render.Unpinned{{Image: render.Image{Reference: "nginx:1", Object: "Deployment shop/web", Field: "f"}, File: "k.yaml", Line: 9}}})), `
k.yaml:9 failure production/web: an image is not pinned: image nginx:1 is not pinned (Deployment shop/web, f) / Do something.`},
		"pawl.yaml": {EnvironmentState{Environment: "production", Problem: Problem{Text: "x", Err: &environments.Problems{List: []environments.Problem{{File: "pawl.yaml", Line: 4, Path: "spec.polices", Message: "unknown field"}, {File: "pawl.yaml", Message: "x"}}}}}, `
pawl.yaml:4 failure production: cannot be read: spec.polices: unknown field`},
		"warned":               {state(warned), "\n" + placed.File + `:14 warning production/api: policy probes warns: has no probe`},
		"warned and not final": {state(warned, staged("web", StageVerifying)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := lines(Check(c.state, noon).Annotations); got != strings.TrimPrefix(c.want, "\n") {
				t.Errorf("got\n%s\nwant%s", got, c.want)
			}
		})
	}
}

// catalogue 29
func TestAnnotationsOfStrangers(t *testing.T) {
	t.Parallel()
	evil := "\x1b[31mred\x00\u202e@acme/sre <script> \u2028 \xff"
	var denials []policies.Denial
	for _, file := range []string{"", "/etc/passwd", "../x", "a/../b", "a\nb", "\xff", ".", strings.Repeat("x", 5000)} {
		denials = append(denials, policies.Denial{File: file, Line: 1, Found: "bad path"})
	}
	denials = append(denials, policies.Denial{File: "a.yaml", Line: -1}, policies.Denial{
		Kind: policies.DeniedByPolicy, Subject: strings.Repeat(evil, 20), Found: strings.Repeat(evil+"\r\n", 20_000), File: "a.yaml", Line: 1,
	})
	for i := range 200 {
		denials = append(denials, policies.Denial{File: "many.yaml", Line: i + 1})
	}
	s := staged("web", StageFailed)
	s.Problem = Problem{Text: "x", Err: &policies.Refusal{Denials: denials}}
	list := Check(state(s), noon).Annotations
	if len(list) != annotationsShown {
		t.Errorf("there are %d annotations, want %d", len(list), annotationsShown)
	}
	for _, a := range list {
		if a.File != "a.yaml" && a.File != "many.yaml" {
			t.Errorf("annotated %q", a.File)
		}
		if len(a.Title) > 255 || len(a.Message) > 64<<10 || a.Message == "" || !utf8.ValidString(a.Title+a.Message) {
			t.Errorf("title of %d and message of %d bytes", len(a.Title), len(a.Message))
		}
		if strings.ContainsAny(a.Title, "\n\r\x1b\x00\u202e\u2028") || strings.ContainsAny(a.Message, "\r\x1b\x00\u202e\u2028") {
			t.Errorf("%q: %q", a.Title, a.Message)
		}
	}
}
