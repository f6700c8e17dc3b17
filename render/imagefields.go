package render

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/environments"
)

// ImageFields says what the names of fields do not: where the objects of some
// kinds have images, and where they have none whatever it looks like.
type ImageFields struct {
	Kinds []KindFields
	// ReportUnlisted lets a release have texts that look like images in fields that
	// are not listed, and lists them in Release.Unlisted. Without, they are refused.
	ReportUnlisted bool
}

// KindFields are fields of one kind, as messages write them, with [*] for every
// item of a list: "spec.runner.image", "spec.steps[*].container",
// "metadata.annotations[example.org/runner]".
type KindFields struct {
	Group, Kind string
	// Fields hold an image wherever they are there, as one text or in parts. Where
	// one is empty, the object says that it wants none.
	Fields []string
	// Ignore are no images.
	Ignore []string
}

// says is what a configuration says about a field.
type says int

const (
	nothing says = iota
	anImage
	notAnImage
)

// imageFields is an ImageFields to look things up in.
type imageFields struct {
	kinds          map[schema.GroupKind]map[string]says
	reportUnlisted bool
}

// with adds fields that hold images, as a revision declares them. It only ever
// adds: what the agent's own configuration knows stays known.
func (f ImageFields) with(declared []KindFields) (ImageFields, error) {
	f.Kinds = slices.Clone(f.Kinds)
	for i, k := range declared {
		if environments.BuiltIn(k.Group) {
			kind := schema.GroupKind{Group: k.Group, Kind: k.Kind}
			return ImageFields{}, &Error{Field: fmt.Sprintf("spec.images[%d]", i), Err: fmt.Errorf("%s is built into Kubernetes, and where its images stand is known; list only custom resources under spec.images of pawl.yaml", kind)}
		}
		f.Kinds = append(f.Kinds, KindFields{Group: k.Group, Kind: k.Kind, Fields: k.Fields})
	}
	return f, nil
}

func (f ImageFields) compile() imageFields {
	c := imageFields{map[schema.GroupKind]map[string]says{}, f.ReportUnlisted}
	for _, k := range f.Kinds {
		kind := schema.GroupKind{Group: k.Group, Kind: k.Kind}
		if environments.BuiltIn(k.Group) {
			continue
		}
		if c.kinds[kind] == nil {
			c.kinds[kind] = map[string]says{}
		}
		for _, field := range k.Ignore {
			if c.kinds[kind][field] != anImage { // the safer of two
				c.kinds[kind][field] = notAnImage
			}
		}
		for _, field := range k.Fields {
			c.kinds[kind][field] = anImage
		}
	}
	return c
}

var index = regexp.MustCompile(`\[\d+\]`)

func (f imageFields) says(kind schema.GroupKind, field string) says {
	fields := f.kinds[kind]
	if len(fields) == 0 {
		return nothing
	}
	return fields[index.ReplaceAllLiteralString(field, "[*]")]
}

// configured handles a field that the configuration knows, and says whether
// that was all there is to it. A field that holds an image in parts may hold
// others beside them: those are searched for as everywhere.
func (f *imageFinder) configured(value any, field string) (done bool, err error) {
	switch f.fields.says(f.kind, field) {
	case notAnImage:
		return true, nil
	case anImage:
		switch v := value.(type) {
		case nil:
			return true, nil
		case string:
			if v == "" {
				return true, nil
			}
			return true, f.addOne([]written{{reference: v, field: field}}, field, f.readAsIs)
		case map[string]any:
			whole, used := composed(v, field)
			if len(whole) == 0 {
				return true, f.noImage(field)
			}
			if err := f.addOne(whole, field, f.readAsIs); err != nil {
				return true, err
			}
			return true, f.inRest(v, used, field)
		}
		return true, f.noImage(field)
	}
	return false, nil
}

// readAsIs parses what a listed field holds, which has no excuse for being no image.
func (f *imageFinder) readAsIs(reference, field string) (Image, bool, error) {
	return f.readListed(reference, reference, field)
}

func (f *imageFinder) noImage(field string) error {
	return &Error{Object: f.object, Field: field, Err: errors.New("is listed as an image (spec.images of pawl.yaml, or render.images of the agent's configuration), and holds none; write registry/repository@sha256:…")}
}

// looksLikeImage says whether a text can hardly be anything but an image: it
// ends in a digest, or it is a host with a dot or a port, a path, and a tag.
// URLs, hosts and paths alone are none.
func looksLikeImage(text string) bool {
	return len(text) <= 1024 && (byDigest.MatchString(text) || byTag.MatchString(text))
}

var (
	byDigest = regexp.MustCompile(`^[A-Za-z0-9][\w.:/-]*@sha(256|384|512):[0-9A-Fa-f]{32,}$`)
	byTag    = regexp.MustCompile(`^(([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+(:\d+)?|[A-Za-z0-9-]+:\d+|\[[0-9a-fA-F:]+\](:\d+)?)/[A-Za-z0-9][\w./-]*:\w[\w.-]{0,127}(@\S+)?$`)
)

// unlistedText refuses or reports a text that looks like an image, in a custom
// resource, where no rule took it for one.
func (f *imageFinder) unlistedText(text, field string) error {
	if !f.custom || !looksLikeImage(text) {
		return nil
	}
	if f.fields.reportUnlisted {
		image, _ := parseImage(text)
		image.Reference, image.Object, image.Field = text, f.object, field
		f.unlisted = append(f.unlisted, image)
		return nil
	}
	listed := index.ReplaceAllLiteralString(field, "[*]")
	return &Error{Object: f.object, Field: field, Err: fmt.Errorf("holds what looks like an image, %q, in a field that is not known to hold one, so it would run unverified. List it with group %q, kind %q and the field %q: under spec.images of pawl.yaml or render.images of the agent's configuration, or under render.noImages of the latter if it is no image", shorten(text), f.kind.Group, f.kind.Kind, listed)}
}
