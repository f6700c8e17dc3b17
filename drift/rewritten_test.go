package drift

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/render"
)

// catalogue 50
func TestImagesThatAdmissionRewrote(t *testing.T) {
	t.Parallel()
	const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	image := func(field string) render.Image {
		return render.Image{Field: field, Reference: "ghcr.io/acme/web@" + digest, Digest: digest}
	}
	pod := func(containers string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {acme.dev/image: \"ghcr.io/acme/web@" + digest + "\"}}\nspec: {containers: [" + containers + "]}\n"
	}
	const web = "{name: web, image: \"ghcr.io/acme/web@" + digest + "\"}"
	one, annotated := image("spec.containers[0].image"), image("metadata.annotations[acme.dev/image]")
	parts := image("spec.image")
	for name, c := range map[string]struct {
		declared, answer string
		image            render.Image
		got              string // "same" where nothing changed
	}{
		"as declared":                 {pod(web), pod(web), one, "same"},
		"a sidecar before it":         {pod(web), pod("{name: proxy, image: other}, " + web), one, "same"},
		"a mirror, by the digest":     {pod(web), pod("{name: web, image: \"mirror.acme.dev/web@" + digest + "\"}"), one, "same"},
		"another image":               {pod(web), pod("{name: web, image: \"evil:1\"}"), one, "evil:1"},
		"a tag for the digest":        {pod(web), pod("{name: web, image: \"ghcr.io/acme/web:1\"}"), one, "ghcr.io/acme/web:1"},
		"the container is gone":       {pod(web), pod("{name: proxy, image: other}"), one, ""},
		"a key with dots and slashes": {pod(web), pod(web), annotated, "same"},
		"written in parts":            {"kind: C\nspec: {image: {repository: web, tag: 1}}", "kind: C\nspec: {image: {repository: web, tag: 1, pullPolicy: Always}}", parts, "same"},
		"a part of it":                {"kind: C\nspec: {image: {repository: web, tag: 1}}", "kind: C\nspec: {image: {repository: evil, tag: 1}}", parts, `{"repository":"evil","tag":1}`},
		"a field that is not there":   {"kind: C\nspec: {}", "kind: C\nspec: {}", parts, "same"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []Change
			if c.got != "same" {
				want = []Change{{Path: c.image.Field, From: c.got, To: c.image.Reference}}
			}
			if diff := cmp.Diff(want, Rewritten(object(t, c.declared), object(t, c.answer), []render.Image{c.image})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
