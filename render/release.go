// Package render builds a target's overlay at a revision into a release: the
// objects to apply, every image in them pinned by digest.
//
// A Renderer decides whether there is anything to build, has a Builder parse
// what strangers wrote, and judges what comes back. The Builder of this package
// works in the same process; package sealed has one that works in children which
// have nothing but the revision's files, and holds limits of time and memory.
package render

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// Release is the rendered, pinned objects of a target at a revision. Whoever
// holds one must not change its objects.
type Release struct {
	Target environments.Target
	Commit gitsync.Commit
	// Objects are sorted: namespaces and definitions first, then by kind, namespace
	// and name, so that the same content always has the same order.
	Objects []*unstructured.Unstructured
	// Images are all images found in the objects, each pinned, sorted by object and field.
	Images []Image
	// Digest identifies the content: the same objects have the same digest
	// whatever the commit. "sha256:…"
	Digest string
	// Unlisted are texts of custom resources that look like images and stand in
	// fields that ImageFields does not list, where it asks for them to be reported.
	// Nothing is verified about them.
	Unlisted []Image
	// Places tells for each object, by its name as in Image.Object, where it is
	// declared. It is as good as files tell, and no part of the content.
	Places map[string]Place
}

// Image is one image field of one object.
type Image struct {
	// Reference is what the object says: "ghcr.io/acme/web:1.9@sha256:…".
	Reference string
	// Repository and Digest are the parsed, normal form: "ghcr.io/acme/web" and
	// "sha256:…". docker.io is written "index.docker.io/library/…".
	Repository string
	Digest     string
	// Tag is the tag beside the digest, empty if the reference has none.
	Tag string
	// Object and Field tell where it stands: "Deployment shop-dev/web" and
	// "spec.template.spec.containers[0].image".
	Object string
	Field  string
	// File and Line are where its digest is written, in images: or in a manifest;
	// empty and 0 where that is not known.
	File string
	Line int
}

// Pinned is the image by digest alone, without a tag: what is verified and what runs.
func (i Image) Pinned() string { return i.Repository + "@" + i.Digest }
