package render

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
)

// Error says why a target does not render, and where. It quotes names and
// places, never the content of files: what stands in them may be secret.
type Error struct {
	Target environments.Target
	File   string // "apps/web/base/deployment.yaml", relative to the root of the tree
	Line   int    // 1 is the first; 0 where it is not known
	Object string // "Deployment shop-dev/web"
	Field  string // "resources[2]"
	Err    error
}

func (e *Error) Error() string {
	return join(e.Target.String(), place(e.File, e.Line), e.Object, e.Field, e.Err.Error())
}

func (e *Error) Unwrap() error { return e.Err }

// Unfinished says that a build was stopped before its end, or ended by itself
// with the process it ran in. It stands in an *Error. The overlay is the likely
// cause and the machine a possible one, so a Renderer tries the same revision
// again, after pauses that grow.
type Unfinished struct {
	// Reason is "time" or "memory" after the limit that was reached, or "crash".
	Reason string
	What   string // "did not finish within 30s"
}

func (e *Unfinished) Error() string {
	if e.Reason == "crash" {
		return e.What
	}
	return fmt.Sprintf("%s (render.limits.%s in the agent's configuration)", e.What, e.Reason)
}

// Panicked says that kustomize panicked on the overlay, and what it said, fit to
// be shown. It stands in an *Error. What it leaves behind in its process is not
// to be relied on.
type Panicked struct{ What string }

func (e *Panicked) Error() string {
	return "kustomize cannot digest this overlay and panicked: " + e.What
}

// Empty says that a target renders to no object at all. It is a failure: only
// a person's word, not an empty render, may empty an environment.
type Empty struct {
	Target environments.Target
	File   string // where the nothing comes from: a file, or the folder that is missing
	Reason string
}

func (e *Empty) Error() string {
	return join(e.Target.String(), e.File, e.Reason+"; nothing is applied and nothing is deleted")
}

// UnpinnedError names every image of a target that is not pinned by digest.
type UnpinnedError struct {
	Target   environments.Target
	Unpinned []Unpinned
	// Objects are those of the release that it would be.
	Objects []*unstructured.Unstructured
}

// Unpinned is an image without a digest, and where its digest is to be written.
type Unpinned struct {
	Image // its Digest is empty
	// File is the overlay's kustomization, in whose images: the digest belongs,
	// Line that of the entry that is there for the image, 0 if there is none.
	File string
	Line int
	// ByHand says that kustomize's images: does not reach the field: the digest
	// has to be written where the image stands.
	ByHand bool
}

// Images are the unpinned images alone, each without a digest.
func (e *UnpinnedError) Images() []Image {
	images := make([]Image, len(e.Unpinned))
	for i, u := range e.Unpinned {
		images[i] = u.Image
	}
	return images
}

func (e *UnpinnedError) Error() string {
	var b strings.Builder
	if n := len(e.Unpinned); n > 1 {
		fmt.Fprintf(&b, "%s: %d images are not pinned\n  ", e.Target, n)
	}
	pin, byHand := 0, 0
	for i, u := range e.Unpinned {
		if i > 0 {
			b.WriteString("\n  ")
		}
		fmt.Fprintf(&b, "%s: image %s is not pinned (%s, %s)", place(u.File, u.Line), u.Reference, u.Object, u.Field)
		if u.ByHand {
			byHand++
			b.WriteString(`; images: does not reach this field, write "@sha256:…" there`)
		} else {
			pin++
		}
	}
	switch {
	case len(e.Unpinned) > 1 && pin > 0:
		fmt.Fprintf(&b, "\nRun %q to write the digests.", "pawl pin "+e.Target.String())
	case pin == 1:
		fmt.Fprintf(&b, ". Run %q to write its digest.", "pawl pin "+e.Target.String())
	case byHand == 1 && pin == 0 && len(e.Unpinned) == 1:
		b.WriteByte('.')
	}
	return b.String()
}

func place(file string, line int) string {
	if file == "" || line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

func join(parts ...string) string {
	said := parts[:0:0]
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, ": ")
}
