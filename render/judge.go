package render

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
)

// judge turns what a builder brought into a release, or says why it is none. It
// takes nothing on trust: lists are unpacked, objects counted, measured, sorted
// and searched for images here.
func judge(built Built, target environments.Target, limits Limits, fields imageFields) (Release, error) {
	places := built.places()
	fail := func(err error) (Release, error) { return Release{}, placed(places.locate(err), target) }
	objects, err := unpack(built.Objects)
	if err != nil {
		return fail(err)
	}
	if len(objects) == 0 {
		return Release{}, &Empty{Target: target, File: built.file(), Reason: "renders to no object"}
	}
	if len(objects) > limits.Objects {
		return fail(&Error{File: built.file(), Err: &Exceeded{"objects", fmt.Sprintf("renders to %d objects, the limit is %d", len(objects), limits.Objects)}})
	}
	if err := order(objects); err != nil {
		return fail(err)
	}
	digest, err := digestOf(objects, limits)
	if err != nil {
		return fail(err)
	}
	release := Release{Target: target, Objects: objects, Digest: digest, Places: map[string]Place{}}
	for _, o := range objects {
		found, err := fields.of(o)
		if err != nil {
			return fail(err)
		}
		release.Images = append(release.Images, found.images...)
		release.Unlisted = append(release.Unlisted, found.unlisted...)
		release.Places[objectName(o)] = places.of(objectName(o))
	}
	byObject := func(a, b Image) int { return strings.Compare(a.Object, b.Object) }
	slices.SortStableFunc(release.Images, byObject)
	slices.SortStableFunc(release.Unlisted, byObject)
	if unpinned := built.unpinned(release.Images); len(unpinned) > 0 {
		return Release{}, &UnpinnedError{Target: target, Unpinned: unpinned, Objects: objects}
	}
	for i, image := range release.Images {
		at := places.ofDigest(image)
		release.Images[i].File, release.Images[i].Line = at.File, at.Line
	}
	return release, nil
}

// unpinned lists the images without a digest, each with the place in the
// overlay's kustomization where its digest belongs.
func (b Built) unpinned(images []Image) []Unpinned {
	var all []Unpinned
	for _, image := range images {
		if image.Digest != "" {
			continue
		}
		named, _, _ := strings.Cut(image.Reference, ":"+image.Tag)
		all = append(all, Unpinned{Image: image, File: b.file(), Line: b.entryFor(named), ByHand: !reachable(image.Field)})
	}
	return all
}

// The API server's own limits, which no configuration of ours moves. Counting
// before anything is sent keeps a commit from being applied by half.
const (
	maxObject      = 3 << 19   // of an object as JSON: what etcd takes in one request
	maxAnnotations = 256 << 10 // of all annotations of an object
	maxData        = 1 << 20   // of a ConfigMap's or Secret's values
)

// measure refuses an object that the API server would.
func measure(o *unstructured.Unstructured, encoded int, limits Limits) error {
	fail := func(field, format string, args ...any) error {
		return &Error{Object: objectName(o), Field: field, Err: fmt.Errorf(format, args...)}
	}
	if depthOf(o.Object, limits.Depth) > limits.Depth {
		return &Error{Object: objectName(o), Err: tooDeep(limits)}
	}
	if n := annotationBytes(o); n > maxAnnotations {
		return fail("metadata.annotations", "has %d bytes, more than the %s that the API server takes; move the text out of annotations", n, size(maxAnnotations))
	}
	if kind := o.GroupVersionKind().GroupKind(); kind.Group == "" && (kind.Kind == "ConfigMap" || kind.Kind == "Secret") {
		if n := dataBytes(o); n > maxData {
			return fail("data", "has %d bytes, more than the %s that the API server takes; split it, or mount a volume", n, size(maxData))
		}
	}
	if encoded > maxObject {
		return fail("", "is %d bytes of JSON, more than the 1.5 MiB that etcd takes; split it", encoded)
	}
	return nil
}

func annotationBytes(o *unstructured.Unstructured) int {
	n := 0
	for key, value := range o.GetAnnotations() {
		n += len(key) + len(value)
	}
	return n
}

// dataBytes counts the values as the API server does: what is base64, decoded.
func dataBytes(o *unstructured.Unstructured) int {
	n := 0
	for _, field := range []string{"data", "binaryData", "stringData"} {
		values, _ := o.Object[field].(map[string]any)
		for _, value := range values {
			text, _ := value.(string)
			if field == "binaryData" || field == "data" && o.GetKind() == "Secret" {
				n += base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(text, "=")))
			} else {
				n += len(text)
			}
		}
	}
	return n
}

// depthOf is how deep a value is nested, or one more than the limit.
func depthOf(value any, limit int) int {
	deepest := 0
	if limit < 0 {
		return 0
	}
	switch v := value.(type) {
	case map[string]any:
		for _, child := range v {
			deepest = max(deepest, depthOf(child, limit-1))
		}
	case []any:
		for _, child := range v {
			deepest = max(deepest, depthOf(child, limit-1))
		}
	default:
		return 0
	}
	return deepest + 1
}
