//go:build !linux

package sealed

import "runtime"

// seal has nothing to work with: the transport, the environment and the
// deadline hold a job back.
func seal(settings) Guards {
	return Guards{Missing: []string{"Landlock, seccomp and memory limits on " + runtime.GOOS}}
}
