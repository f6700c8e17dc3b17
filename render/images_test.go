package render_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

func oneObject(manifest string) map[string]string {
	return map[string]string{
		"overlays/dev/kustomization.yaml": "resources: [object.yaml]\n",
		"overlays/dev/object.yaml":        manifest,
	}
}

const custom = "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\nspec:\n"

// podIn are manifests with "%s" where a pod's spec goes, and where that is.
var podIn = []struct{ kind, manifest, field string }{
	{"Pod", "apiVersion: v1\nkind: Pod\nmetadata: {name: w}\nspec: %s\n", "spec"},
	{"PodTemplate", "apiVersion: v1\nkind: PodTemplate\nmetadata: {name: w}\ntemplate: {spec: %s}\n", "template.spec"},
	{"ReplicationController", "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: w}\nspec: {template: {spec: %s}}\n", "spec.template.spec"},
	{"Deployment", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w}\nspec: {template: {spec: %s}}\n", "spec.template.spec"},
	{"StatefulSet", "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: w}\nspec: {template: {spec: %s}}\n", "spec.template.spec"},
	{"DaemonSet", "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: w}\nspec: {template: {spec: %s}}\n", "spec.template.spec"},
	{"ReplicaSet", "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: w}\nspec: {template: {spec: %s}}\n", "spec.template.spec"},
	{"Job", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: w}\nspec: {template: {spec: %s}}\n", "spec.template.spec"},
	{"CronJob", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: w}\nspec: {jobTemplate: {spec: {template: {spec: %s}}}}\n", "spec.jobTemplate.spec.template.spec"},
	{"Rollout", "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: w}\nspec: {template: {spec: %s}}\n", "spec.template.spec"},
	{"Widget", "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\nspec: {parts: [{deep: {podTemplate: {spec: %s}}}]}\n", "spec.parts[0].deep.podTemplate.spec"},
}

// imageIn are pods' specs with "%s" where an image goes, and where that is.
var imageIn = []struct {
	place, spec, field string
	byHand             bool
}{
	{"a container", "{containers: [{name: a, image: %s}]}", "containers[0].image", false},
	{"the second container", "{containers: [{name: a, image: ghcr.io/acme/a@" + digest("a") + "}, {name: b, image: %s}]}", "containers[1].image", false},
	{"an init container", "{containers: [], initContainers: [{name: a, image: %s}]}", "initContainers[0].image", false},
	{"a sidecar", "{containers: [], initContainers: [{name: a, restartPolicy: Always, image: %s}]}", "initContainers[0].image", false},
	{"an ephemeral container", "{containers: [], ephemeralContainers: [{name: a, image: %s}]}", "ephemeralContainers[0].image", true},
	{"an image volume", "{containers: [], volumes: [{name: v, image: {reference: %s}}]}", "volumes[0].image.reference", false},
}

// catalogue 45: one commit per place. An unpinned image is refused there, with
// the place named, and a pinned one is found there.
func TestImagesAreFoundInEveryPlaceOfEveryWorkload(t *testing.T) {
	t.Parallel()
	for _, pod := range podIn {
		for _, in := range imageIn {
			t.Run(pod.kind+" "+in.place, func(t *testing.T) {
				t.Parallel()
				field := pod.field + "." + in.field
				manifest := func(image string) string {
					return fmt.Sprintf(pod.manifest, fmt.Sprintf(in.spec, image))
				}
				_, err := rendered(t, trees.FromMap(oneObject(manifest("ghcr.io/acme/web:1.9"))))
				var unpinned *render.UnpinnedError
				if !errors.As(err, &unpinned) || len(unpinned.Unpinned) != 1 {
					t.Fatalf("error %v, want one unpinned image", err)
				}
				got := unpinned.Unpinned[0]
				want := render.Image{Reference: "ghcr.io/acme/web:1.9", Repository: "ghcr.io/acme/web", Tag: "1.9", Object: pod.kind + " w", Field: field}
				if got.Image != want {
					t.Errorf("unpinned %+v, want %+v", got.Image, want)
				}
				release, err := rendered(t, trees.FromMap(oneObject(manifest("ghcr.io/acme/web:1.9@"+digest("b")))))
				if err != nil {
					t.Fatal(err)
				}
				found := false
				for _, image := range release.Images {
					found = found || image.Field == field && image.Pinned() == "ghcr.io/acme/web@"+digest("b")
				}
				if !found {
					t.Errorf("images %+v, want one in %s", release.Images, field)
				}
			})
		}
	}
}

// What the hint says is true: where pawl pin is advised, kustomize's images:
// does pin the image, and where the hand is, it does not.
func TestPinningByImagesReachesWhatIsSaid(t *testing.T) {
	t.Parallel()
	for _, pod := range podIn {
		for _, in := range imageIn {
			t.Run(pod.kind+" "+in.place, func(t *testing.T) {
				t.Parallel()
				files := oneObject(fmt.Sprintf(pod.manifest, fmt.Sprintf(in.spec, "ghcr.io/acme/web:1.9")))
				_, err := rendered(t, trees.FromMap(files))
				var unpinned *render.UnpinnedError
				if !errors.As(err, &unpinned) {
					t.Fatal(err)
				}
				files["overlays/dev/kustomization.yaml"] += "images:\n  - name: ghcr.io/acme/web\n    digest: " + digest("c") + "\n"
				_, err = rendered(t, trees.FromMap(files))
				if byHand := unpinned.Unpinned[0].ByHand; byHand != (err != nil) {
					t.Errorf("by hand %v, but with images: the error is %v", byHand, err)
				}
			})
		}
	}
}

// catalogue 46: images in fields that no list of ours has, of kinds that nobody
// here knows, are pinned or refused with the field named.
func TestImagesInCustomResourcesArePinnedOrRefused(t *testing.T) {
	t.Parallel()
	d := "@" + digest("a")
	for _, c := range []struct{ place, spec, want string }{
		{"an image field", "  image: ghcr.io/acme/db:16", "unpinned spec.image"},
		{"a pinned image field", "  image: ghcr.io/acme/db:16" + d, "pinned spec.image"},
		{"a short name", "  image: postgres", "unpinned spec.image"},
		{"a field that ends in Image", "  sidecarImage: ghcr.io/acme/proxy", "unpinned spec.sidecarImage"},
		{"a field of another spelling", "  base_image: ghcr.io/acme/proxy", "unpinned spec.base_image"},
		{"imageName", "  imageName: ghcr.io/acme/db:16", "unpinned spec.imageName"},
		{"imageRef", "  imageRef: ghcr.io/acme/db:16", "unpinned spec.imageRef"},
		{"deep inside", "  a: [{b: {c: [{image: ghcr.io/acme/db:16}]}}]", "unpinned spec.a[0].b.c[0].image"},
		{"a list of images", "  images: [ghcr.io/acme/a" + d + ", ghcr.io/acme/b:1]", "unpinned spec.images[1]"},
		{"repository and tag", "  image: {repository: ghcr.io/acme/db, tag: 16}", "unpinned spec.image"},
		{"repository and digest", "  image: {registry: ghcr.io, repository: acme/db, tag: v16, digest: \"" + digest("a") + "\"}", "pinned spec.image"},
		{"an artifact", "  image: oci://ghcr.io/acme/db:16", "unpinned spec.image"},
		{"an annotation that chooses an image", "  template: {metadata: {annotations: {sidecar.istio.io/proxyImage: docker.io/istio/proxyv2:1.2}}}", "unpinned spec.template.metadata.annotations[sidecar.istio.io/proxyImage]"},
		{"a template", "  image: \"{{inputs.image}}\"", "refused spec.image"},
		{"a variable", "  image: ${IMAGE}", "refused spec.image"},
		{"another kind of digest", "  image: ghcr.io/acme/db@sha512:" + strings.Repeat("a", 128), "refused spec.image"},
		{"a short digest", "  image: ghcr.io/acme/db@sha256:abc", "refused spec.image"},
		{"an upper case digest", "  image: ghcr.io/acme/db@sha256:" + strings.Repeat("A", 64), "refused spec.image"},
		{"two digests", "  image: ghcr.io/acme/db" + d + d, "refused spec.image"},
		{"no image at all", "  image: \"\"", "nothing"},
		{"a picture", "  image: https://example.org/logo.png", "nothing"},
		{"a policy's pattern", "  image: \"ghcr.io/acme/*\"", "nothing"},
		{"a label", "  template: {metadata: {labels: {image: web}}}", "nothing"},
		{"how images are pulled", "  imagePullPolicy: Always", "nothing"},
	} {
		t.Run(c.place, func(t *testing.T) {
			t.Parallel()
			release, err := rendered(t, trees.FromMap(oneObject(custom+c.spec+"\n")))
			got := "nothing"
			var unpinned *render.UnpinnedError
			var refused *render.Error
			switch {
			case errors.As(err, &unpinned):
				got = "unpinned " + unpinned.Unpinned[0].Field
			case errors.As(err, &refused):
				got = "refused " + refused.Field
			case err != nil:
				got = err.Error()
			case len(release.Images) > 0:
				got = "pinned " + release.Images[0].Field
			}
			if got != c.want {
				t.Errorf("%s, want %s (%v)", got, c.want, err)
			}
		})
	}
}

// catalogue 22: what hides in a list of any kind is found.
func TestImagesInListsAreFound(t *testing.T) {
	t.Parallel()
	pod := "{apiVersion: v1, kind: Pod, metadata: {name: hidden}, spec: {containers: [{name: a, image: evil.example.org/miner}]}}"
	for _, list := range []string{
		"apiVersion: v1\nkind: List\nitems: [" + pod + "]\n",
		"apiVersion: v1\nkind: PodList\nitems: [" + pod + "]\n",
		"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: [" + pod + "]}]\n",
		"apiVersion: example.org/v1\nkind: Bundle\nmetadata: {name: b}\nitems: [" + pod + "]\n",
	} {
		_, err := rendered(t, trees.FromMap(oneObject(list)))
		var unpinned *render.UnpinnedError
		if !errors.As(err, &unpinned) || unpinned.Unpinned[0].Repository != "evil.example.org/miner" {
			t.Errorf("%v, want the hidden image named, for\n%s", err, list)
		}
	}
}

// catalogue 16: no spelling of a file hides an image from the judgement, which
// looks at what is rendered.
func TestImagesInUTF16AreFound(t *testing.T) {
	t.Parallel()
	utf16 := "\xff\xfe"
	for _, b := range []byte(deployment("web", "evil.example.org/miner")) {
		utf16 += string([]byte{b, 0})
	}
	_, err := rendered(t, trees.FromMap(oneObject(utf16)))
	var unpinned *render.UnpinnedError
	if !errors.As(err, &unpinned) {
		t.Errorf("%v, want the image found", err)
	}
}

// catalogue 44, catalogue 47: images are known by their normal form, and a tag
// beside a digest says nothing about what runs.
func TestImagesHaveANormalForm(t *testing.T) {
	t.Parallel()
	d := digest("a")
	for reference, want := range map[string]render.Image{
		"nginx@" + d:                       {Repository: "index.docker.io/library/nginx"},
		"docker.io/nginx@" + d:             {Repository: "index.docker.io/library/nginx"},
		"docker.io/library/nginx:1@" + d:   {Repository: "index.docker.io/library/nginx", Tag: "1"},
		"index.docker.io/acme/web@" + d:    {Repository: "index.docker.io/acme/web"},
		"ghcr.io/acme/web:latest@" + d:     {Repository: "ghcr.io/acme/web", Tag: "latest"},
		"ghcr.io.evil.com/acme/web:1@" + d: {Repository: "ghcr.io.evil.com/acme/web", Tag: "1"},
		"ghcr.io:443/acme/web@" + d:        {Repository: "ghcr.io:443/acme/web"},
		"localhost:5000/web:1@" + d:        {Repository: "localhost:5000/web", Tag: "1"},
	} {
		release, err := rendered(t, trees.FromMap(oneObject(deployment("web", reference))))
		if err != nil {
			t.Errorf("%s: %v", reference, err)
			continue
		}
		want.Reference, want.Digest = reference, d
		want.Object, want.Field = "Deployment web", "spec.template.spec.containers[0].image"
		want.File, want.Line = "overlays/dev/object.yaml", 14
		if got := release.Images[0]; got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", reference, got, want)
		}
	}
	for _, reference := range []string{"GHCR.io/Acme/web@" + d, "ghcr.io/../web@" + d, "ghcr.io/acme/web:@" + d, "ghcr.io/acme//web@" + d, "\"ghcr.io/acme/web \"", "ghcr.io/acmé/web@" + d, "ghcr.io./acme/web@" + d, "ghcr.io/acme/web/@" + d} {
		if release, err := rendered(t, trees.FromMap(oneObject(deployment("web", reference)))); err == nil {
			t.Errorf("%s is taken for %s", reference, release.Images[0].Pinned())
		}
	}
}
