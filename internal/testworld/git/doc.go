// Package git is a real git server for tests, the demo and `make world`: bare
// repositories behind `git http-backend`, with basic auth, a request log,
// faults on demand, and a callback for every ref that moves.
//
// The bare repositories are the only truth. The GitHub stand-in mounts this
// server and works on the same directories, so merging a pull request moves
// the branch that git serves, and a push moves a pull request's head.
package git
