package render

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/environments"
)

// found is what the search of one object brought.
type found struct{ images, unlisted []Image }

// of finds every image that an object names: in the containers of pods and pod
// templates wherever they stand, in image volumes, in every field of any kind
// whose name says that it holds an image, and in the fields that are listed for
// its kind. What is found but cannot be read as one image is an error: it cannot
// be verified either. So is what merely looks like an image, in a custom
// resource, unless it is to be reported.
func (f imageFields) of(o *unstructured.Unstructured) (found, error) {
	kind := o.GroupVersionKind().GroupKind()
	if kind.Group == "" && (kind.Kind == "ConfigMap" || kind.Kind == "Secret") {
		return found{}, nil // data, which no kubelet runs
	}
	find := imageFinder{object: objectName(o), kind: kind, workload: workloads[kind.String()], custom: !environments.BuiltIn(kind.Group), fields: f}
	if err := find.in(o.Object, ""); err != nil {
		return found{}, err
	}
	return found{find.images, find.unlisted}, nil
}

// workloads are the kinds whose containers the kubelet runs: a container
// without an image there is no matter of a default by some operator.
var workloads = map[string]bool{
	"Pod": true, "PodTemplate": true, "ReplicationController": true,
	"Deployment.apps": true, "StatefulSet.apps": true, "DaemonSet.apps": true, "ReplicaSet.apps": true,
	"Job.batch": true, "CronJob.batch": true,
}

type imageFinder struct {
	object   string
	kind     schema.GroupKind
	workload bool
	custom   bool
	fields   imageFields

	images, unlisted []Image
	inContainer      int // how many lists of containers the search is inside of
}

// in looks through a value, the keys of maps in order.
func (f *imageFinder) in(value any, field string) error {
	switch v := value.(type) {
	case map[string]any:
		written, _ := composed(v, field)
		for _, w := range written {
			if !w.joined {
				continue // it is met as a text below
			}
			if err := f.unlistedText(w.reference, w.field); err != nil {
				return err
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := f.inField(key, v[key], fieldUnder(field, key)); err != nil {
				return err
			}
		}
	case []any:
		return f.inList(v, field, f.unlistedText)
	case string:
		return f.unlistedText(v, field)
	}
	return nil
}

// inList looks through the items of a list; texts among them go to text.
func (f *imageFinder) inList(list []any, field string, text func(value, field string) error) error {
	for i, child := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		done, err := f.configured(child, at)
		if s, ok := child.(string); ok && !done && err == nil {
			err = text(s, at)
		} else if !done && err == nil {
			err = f.in(child, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *imageFinder) inField(key string, value any, field string) error {
	if done, err := f.configured(value, field); done || err != nil {
		return err
	}
	switch {
	case labels[key]:
		return f.inLabels(value, field)
	case containers[key]:
		if err := f.inContainers(value, field); err != nil {
			return err
		}
		f.inContainer++
		defer func() { f.inContainer-- }()
	case f.inContainer > 0 && texts[key]:
		return nil // what a container is told, not what it is
	case namesImage(key):
		switch v := value.(type) {
		case string:
			return f.add(v, field)
		case map[string]any:
			if written, used := composed(v, field); len(written) > 0 {
				if err := f.addOne(written, field, f.read); err != nil {
					return err
				}
				return f.inRest(v, used, field)
			}
		case []any:
			return f.inList(v, field, f.add)
		}
	}
	return f.in(value, field)
}

// inLabels looks through labels. What can be the value of one names no
// repository outside of Docker's own library, and there is none where the map is
// no map of labels at all, whatever its name.
func (f *imageFinder) inLabels(value any, field string) error {
	v, ok := value.(map[string]any)
	if !ok {
		return f.in(value, field)
	}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		at := fieldUnder(field, key)
		if text, ok := v[key].(string); ok && f.fields.says(f.kind, at) == nothing && !strings.ContainsAny(text, "/:@") {
			continue
		}
		if err := f.inField(key, v[key], at); err != nil {
			return err
		}
	}
	return nil
}

// inContainers refuses containers of a built-in workload without an image.
func (f *imageFinder) inContainers(value any, field string) error {
	list, ok := value.([]any)
	if !ok || !f.workload {
		return nil
	}
	for i, child := range list {
		container, ok := child.(map[string]any)
		if !ok {
			continue
		}
		if image, ok := container["image"].(string); !ok || strings.TrimSpace(image) == "" {
			return &Error{Object: f.object, Field: fmt.Sprintf("%s[%d].image", field, i), Err: errors.New("is missing; name the image")}
		}
	}
	return nil
}

var (
	containers = map[string]bool{"containers": true, "initContainers": true, "ephemeralContainers": true}
	labels     = map[string]bool{"labels": true, "matchLabels": true, "nodeSelector": true}
	texts      = map[string]bool{"env": true, "args": true, "command": true}
	imageField = regexp.MustCompile(`(?i)image(s|name|ref|reference)?$`)
)

// namesImage says whether a field or annotation of this name holds an image:
// image, images, sidecarImage, imageName, sidecar.istio.io/proxyImage.
func namesImage(key string) bool { return imageField.MatchString(key) }

// add notes the image of a field.
func (f *imageFinder) add(reference, field string) error {
	image, ok, err := f.read(reference, field)
	if ok {
		f.images = append(f.images, image)
	}
	return err
}

// read parses what a field holds whose name says that it is an image. What is
// plainly none is not ok: nothing, a picture, a policy's pattern.
func (f *imageFinder) read(reference, field string) (image Image, ok bool, err error) {
	trimmed := strings.TrimSpace(reference)
	switch {
	case trimmed == "":
		return Image{}, false, nil
	case !f.workload && (picture.MatchString(trimmed) && !endsAsImage.MatchString(trimmed) || pattern.MatchString(trimmed)):
		return Image{}, false, nil
	}
	return f.readListed(trimmed, reference, field)
}

var (
	picture = regexp.MustCompile(`^https?://`)
	// endsAsImage tells what has a tag or digest at its end, which no picture has,
	// and which is an image for whoever takes the scheme away.
	endsAsImage = regexp.MustCompile(`//[^/]+/.*(:\w[\w.-]{0,127}|@\w+:\w+)$`)
	// pattern tells what policies have: wildcards, comparisons, alternatives.
	pattern = regexp.MustCompile(`\*|^[!<>]|[^\s|]\s*\|\s*[^\s|]`)
)

// readListed parses what must be an image.
func (f *imageFinder) readListed(trimmed, reference, field string) (Image, bool, error) {
	for _, prefix := range []string{"docker://", "oci://"} {
		trimmed = strings.TrimPrefix(trimmed, prefix)
	}
	image, err := parseImage(trimmed)
	if err != nil {
		return Image{}, false, &Error{Object: f.object, Field: field, Err: err}
	}
	image.Reference, image.Object, image.Field = reference, f.object, field
	return image, true, nil
}

// The grammar of the container runtimes, which is narrower than the library's:
// no "..", no empty segment, no host in capitals or with a dot at its end.
var (
	registryName   = regexp.MustCompile(`^([a-z0-9]+([.-]+[a-z0-9]+)*|\[[0-9a-f:]+\])(:[0-9]+)?$`)
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
)

var sha256Digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// parseImage reads a reference into its normal form. Digest is empty where the
// reference has none.
func parseImage(reference string) (Image, error) {
	named, digest, pinned := strings.Cut(reference, "@")
	if pinned && !sha256Digest.MatchString(digest) {
		return Image{}, fmt.Errorf("%q is pinned by no sha256 digest; write @sha256: and 64 hex digits", shorten(reference))
	}
	tag, err := name.NewTag(named)
	if err != nil || !registryName.MatchString(tag.RegistryStr()) || !repositoryName.MatchString(tag.RepositoryStr()) {
		return Image{}, fmt.Errorf("%q is no image reference, so it cannot be verified; write the image itself: registry/repository@sha256:…", shorten(reference))
	}
	image := Image{Repository: tag.Context().Name(), Digest: digest}
	if strings.HasSuffix(named, ":"+tag.TagStr()) {
		image.Tag = tag.TagStr()
	}
	return image, nil
}

func shorten(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// fieldUnder is under for keys that may hold dots themselves.
func fieldUnder(parent, key string) string {
	if strings.ContainsAny(key, "./") {
		return parent + "[" + key + "]"
	}
	if parent == "" {
		return key
	}
	return parent + "." + key
}

// reachable says whether kustomize's images: transformer rewrites a field. It
// looks into containers and initContainers anywhere, and into the image volumes
// of the built-in kinds.
func reachable(field string) bool {
	return reachableField.MatchString(field)
}

var reachableField = regexp.MustCompile(`(^|\.)(containers|initContainers)\[\d+\]\.image$|^spec\.((jobTemplate\.spec\.)?template\.spec\.)?volumes\[\d+\]\.image\.reference$`)
