// Package sealed has work on what strangers wrote done in child processes of
// the same binary, where there is nothing to reach and nothing to win: no
// network, no file, an empty environment, a bound on memory, and death at a
// deadline. What a child needs it gets from its parent, over a pipe.
//
// A child refuses itself everything before it sees the first byte: the
// transport of HTTP and the search for programs in any case; on Linux also by
// no_new_privs, resource limits, a seccomp filter that allows what Go's runtime
// needs and fails everything else, and Landlock, where the kernel has them.
// None of it needs a privilege: it works in a restricted pod. Guards tells what
// is in force.
//
// What is done in there is a Worker's: each kind has children of its own, and
// its users decide how far they believe them. A Pool reuses them: they end after
// a number of jobs, when their user says that they are spent, after any failure
// of their own, and when nobody has needed them for a while.
package sealed
