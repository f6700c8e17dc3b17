//go:build unix

package sealed

import (
	"errors"
	"os"
	"syscall"
)

// pipes are the child's ends. They go by the runtime's poller, so that a job
// and the listening for the parent share one processor.
func pipes() (in, out *os.File, err error) {
	for fd := range 2 {
		var at syscall.Stat_t
		if err := syscall.Fstat(fd, &at); err != nil || at.Mode&syscall.S_IFMT != syscall.S_IFIFO {
			return nil, nil, errors.New("standard input and output are no pipes")
		}
		if err := syscall.SetNonblock(fd, true); err != nil {
			return nil, nil, err
		}
	}
	return os.NewFile(0, "parent"), os.NewFile(1, "parent"), nil
}
