// Package sealed builds overlays in sealed processes (internal/sealed): what
// strangers wrote is parsed where nothing can be had but the files of the
// revision, which a child asks its parent for.
//
// Children are reused while that cannot change what they make: a build that
// replaced kustomize's schema is the last of its child.
//
// The parent believes a child nothing about images, counts or sizes: package
// render judges the objects that come back.
package sealed
