package render_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// catalogue 46: of an image that is written in parts, each part counts. A pinned
// one hides no other beside it.
func TestNoPartOfAnImageHidesAnother(t *testing.T) {
	t.Parallel()
	hex, other := digest("a"), digest("b")
	good := "ghcr.io/acme/web@" + hex
	for _, c := range []struct{ what, spec, want string }{
		{"ref beside repository", "  image: {ref: " + good + ", repository: docker.io/evil/x, tag: latest}", "refused spec.image"},
		{"reference beside repository", "  image: {reference: " + good + ", repository: docker.io/evil/x, tag: latest}", "refused spec.image"},
		{"reference beside ref", "  image: {reference: " + good + ", ref: docker.io/evil/x@" + hex + "}", "refused spec.image"},
		{"repository beside name", "  image: {repository: ghcr.io/acme/web, digest: \"" + hex + "\", name: \"evil:latest\"}", "refused spec.image"},
		{"repository beside repo", "  image: {repository: ghcr.io/acme/web, digest: \"" + hex + "\", repo: docker.io/evil/x}", "refused spec.image"},
		{"another digest", "  image: {ref: " + good + ", digest: \"" + other + "\"}", "refused spec.image"},
		{"another digest as version", "  image: {repository: ghcr.io/acme/web, tag: \"1@" + hex + "\", version: \"" + other + "\"}", "refused spec.image"},
		{"a part that is a map", "  image: {ref: " + good + ", repository: {image: evil/x}}", "unpinned spec.image.repository.image"},
		{"a part that is not used", "  image: {ref: " + good + ", registry: \"docker.io/evil/x:1\"}", "refused spec.image.registry"},
		{"an image beside", "  image: {ref: " + good + ", sidecarImage: evil/x}", "unpinned spec.image.sidecarImage"},
		{"all of one image", "  image: {reference: \"" + good + "\", repository: ghcr.io/acme/web, digest: \"" + hex + "\", tag: 1}", "pinned spec.image.reference"},
		{"a plain name beside", "  image: {name: web, repository: ghcr.io/acme/web, tag: 1, version: 2, digest: \"" + hex + "\"}", "pinned spec.image"},
		{"a name with a tag", "  image: {name: \"evil:latest\"}", "unpinned spec.image"},
		{"repo and version", "  image: {repo: docker.io/evil/x, version: latest}", "unpinned spec.image"},
		{"repository and version", "  proxy: {repository: docker.io/evil/x, version: \"1.0\"}", "refused spec.proxy"},
		{"repository and a digest as version", "  proxy: {repository: docker.io/evil/x, version: \"" + hex + "\"}", "refused spec.proxy"},
		{"source code", "  proxy: {repository: github.com/acme/web, version: \"1.0\"}", ""},
		{"a chart", "  proxy: {repository: \"https://charts.acme.dev/stable\", name: acme/web, version: \"1.0\"}", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			if got, err := verdictOn(t, render.ImageFields{}, custom+c.spec+"\n"); got != c.want {
				t.Errorf("%q, want %q (%v)", got, c.want, err)
			}
		})
	}
}

// An image-named field is skipped only where it is plainly no image.
func TestDecoratedImagesAreNotSkipped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, spec, want string }{
		{"a URL with a tag", "  image: http://evil/x:latest", "refused spec.image"},
		{"a URL with a digest", "  image: https://evil.dev/x@" + digest("a"), "refused spec.image"},
		{"a picture at a port", "  image: https://acme.dev:8443/logo.png", ""},
		{"a bar at its end", "  image: \"docker.io/evil/x:latest|\"", "refused spec.image"},
		{"alternatives of a policy", "  image: \"nginx | busybox\"", ""},
		{"all but some", "  image: \"!evil/*\"", ""},
		{"labels that are none", "  labels: {image: \"docker.io/evil/x:latest\"}", "unpinned spec.labels.image"},
		{"a selector that is none", "  nodeSelector: {image: \"evil/x\"}", "unpinned spec.nodeSelector.image"},
		{"an image below labels", "  matchLabels: {a: {image: evil}}", "unpinned spec.matchLabels.a.image"},
		{"labels of alerts", "  rules: [{labels: {image: \"{{ $labels.image }}\", severity: page}}]", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			if got, err := verdictOn(t, render.ImageFields{}, custom+c.spec+"\n"); got != c.want {
				t.Errorf("%q, want %q (%v)", got, c.want, err)
			}
		})
	}
	if got, err := verdictOn(t, render.ImageFields{}, deployment("web", "https://evil.dev/x")); !strings.HasPrefix(got, "refused") {
		t.Errorf("a URL in a container: %q (%v)", got, err)
	}
}

// declaredOn renders a manifest with fields that the revision itself declares.
func declaredOn(t *testing.T, agents render.ImageFields, declared render.KindFields, manifest string) (string, error) {
	t.Helper()
	_, err := render.New(render.Options{Images: agents}).Render(t.Context(), at(trees.FromMap(oneObject(manifest))), dev, declared)
	var unpinned *render.UnpinnedError
	var refused *render.Error
	switch {
	case errors.As(err, &unpinned):
		return "unpinned " + unpinned.Unpinned[0].Field, err
	case errors.As(err, &refused):
		return "refused " + refused.Field, err
	}
	return "", err
}

// catalogue 46: what a revision declares only adds to what is searched.
func TestDeclaredFieldsHideNoImages(t *testing.T) {
	t.Parallel()
	good := "ghcr.io/acme/web@" + digest("a")
	object := func(apiVersion, kind, spec string) string {
		return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: w}\nspec: %s\n", apiVersion, kind, spec)
	}
	field := func(group, kind, field string) render.KindFields {
		return render.KindFields{Group: group, Kind: kind, Fields: []string{field}}
	}
	agents := render.ImageFields{Kinds: []render.KindFields{
		{Group: "example.org", Kind: "Widget", Fields: []string{"spec.steps[*].runner", "spec.parts[*].name"}, Ignore: []string{"spec.note"}},
	}}
	evil := "docker.io/evil/x:latest"
	for _, c := range []struct {
		what     string
		declared render.KindFields
		manifest string
		want     string
	}{
		{"values around an image", field("helm.toolkit.fluxcd.io", "HelmRelease", "spec.values"),
			object("helm.toolkit.fluxcd.io/v2", "HelmRelease", "{values: {reference: \""+good+"\", image: \""+evil+"\"}}"), "unpinned spec.values.image"},
		{"the agent's field below", field("example.org", "Widget", "spec.steps[*]"),
			object("example.org/v1", "Widget", "{steps: [{ref: \""+good+"\", runner: evil}]}"), "unpinned spec.steps[0].runner"},
		{"the agent's field that is a part", field("example.org", "Widget", "spec.parts[*]"),
			object("example.org/v1", "Widget", "{parts: [{repository: ghcr.io/acme/web, name: evil, digest: \""+digest("a")+"\"}]}"), "unpinned spec.parts[0].name"},
		{"two images", field("example.org", "Widget", "spec.runner"),
			object("example.org/v1", "Widget", "{runner: {ref: \""+good+"\", repository: evil, tag: 1}}"), "refused spec.runner"},
		{"a container", field("argoproj.io", "Rollout", "spec.template.spec.containers[*]"),
			object("argoproj.io/v1alpha1", "Rollout", "{template: {spec: {containers: [{name: a, ref: \""+good+"\", image: \""+evil+"\"}]}}}"), "unpinned spec.template.spec.containers[0].image"},
		{"what the agent ignores", field("example.org", "Widget", "spec.note"),
			object("example.org/v1", "Widget", "{note: evil}"), "unpinned spec.note"},
		{"annotations of a built-in kind", field("apps", "Deployment", "spec.template.metadata.annotations"),
			deployment("web", good), "refused spec.images[0]"},
		{"a kind of the core", field("", "Pod", "spec.x"), deployment("web", good), "refused spec.images[0]"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			got, err := declaredOn(t, agents, c.declared, c.manifest)
			if got != c.want {
				t.Errorf("%q, want %q (%v)", got, c.want, err)
			}
			if strings.Contains(c.want, "images[0]") && (err == nil || !strings.Contains(err.Error(), "built into Kubernetes")) {
				t.Errorf("%v, want the reason", err)
			}
		})
	}
}
