//go:build unix

package gogit_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// forbidFiles makes every write to a file fail from here on, root's too.
// Sockets and pipes are no files.
func forbidFiles(t *testing.T) {
	t.Helper()
	probe := filepath.Join(os.TempDir(), "probe")
	if os.WriteFile(probe, []byte("x"), 0o600) == nil {
		t.Fatal("there is a directory for temporary files")
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{}); err != nil {
		t.Fatal(err)
	}
}
