package sealed

import (
	"bytes"
	"strings"
	"sync"
)

// stderr takes what a child says on its standard error and keeps of it the one
// line by which Go's runtime says why it ends a process. The rest is dropped:
// kustomize's warnings quote what may be secret.
type stderr struct {
	mu   sync.Mutex
	line []byte // the beginning of the last, unfinished line
	last string
}

// maxLine is more than the runtime ever says in one.
const maxLine = 512

func (s *stderr) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for part := range bytes.Lines(p) {
		text, whole := bytes.CutSuffix(part, []byte("\n"))
		s.line = append(s.line, text[:min(len(text), maxLine-min(len(s.line), maxLine))]...)
		if whole {
			s.keep()
			s.line = s.line[:0]
		}
	}
	return len(p), nil
}

// keep keeps the line if it is the runtime's. A panic's text may quote its
// input, a fatal error's never does.
func (s *stderr) keep() {
	line := string(s.line)
	switch {
	case strings.HasPrefix(line, "fatal error: "), strings.HasPrefix(line, "runtime: out of memory"):
		s.last = strings.TrimPrefix(line, "fatal error: ")
	case strings.HasPrefix(line, "SIGSEGV: segmentation violation"):
		s.last = segmentation
	case strings.HasPrefix(line, "panic: "):
		s.last = "panic"
	}
}

// fatal is why the runtime ended the process, or "".
func (s *stderr) fatal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// segmentation is what the runtime says of itself, never of a job: a job's
// is a panic, which is recovered. Go's collector does not look at what it gets
// where the kernel gives it no more memory.
const segmentation = "segmentation violation in Go's runtime"

func outOfMemory(said string) bool {
	return said == segmentation || strings.Contains(said, "out of memory") || strings.Contains(said, "cannot allocate memory")
}
