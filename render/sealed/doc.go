// Package sealed builds overlays in child processes of the same binary, so that
// what strangers wrote is parsed where there is nothing to reach and nothing to
// win: no network, no file but those of the revision that it asks its parent
// for, an empty environment, a bound on memory, and death at a deadline.
//
// A child refuses itself everything before it sees the first byte: the
// transport of HTTP and the search for programs in any case; on Linux also by
// no_new_privs, resource limits, a seccomp filter that allows what Go's runtime
// needs and fails everything else, and Landlock, where the kernel has them.
// None of it needs a privilege: it works in a restricted pod. Guards tells what
// is in force.
//
// Children are reused while that cannot change what they make: they end after
// a number of builds, after a build that replaced kustomize's schema, after any
// failure of their own, and when nobody has needed them for a while.
//
// The parent believes a child nothing about images, counts or sizes: package
// render judges the objects that come back.
package sealed
