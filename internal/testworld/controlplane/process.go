package controlplane

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is the server binary as a child. Its standard input is a pipe that
// nobody writes to: when this process ends, however it ends, the kernel closes
// the pipe and the child exits.
type process struct {
	binary, dataDir  string
	removeWithParent bool
	log              io.Writer

	mu    sync.Mutex
	port  string // of the first start, kept by later ones
	child *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when child has been waited for
}

// stopWithin is how long a clean stop may take when the context allows more;
// the server bounds itself below it.
const stopWithin = 10 * time.Second

func (p *process) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()

	if err := os.MkdirAll(p.dataDir, 0o700); err != nil {
		return fmt.Errorf("make the control plane's data folder: %w", err)
	}
	logPath := filepath.Join(p.dataDir, "controlplane.log")
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}

	port := p.port
	if port == "" {
		port = "0"
	}
	child := exec.Command(p.binary, "--data-dir", p.dataDir, "--port", port, "--exit-with-stdin")
	if p.removeWithParent {
		child.Args = append(child.Args, "--remove-with-parent")
	}
	child.Stderr = logFile
	if p.log != nil {
		child.Stderr = io.MultiWriter(logFile, p.log)
	}
	// Pipes fail only where starting fails too, and Start says why.
	stdin, _ := child.StdinPipe()
	stdout, _ := child.StdoutPipe()
	ended := make(chan struct{})
	p.child, p.stdin, p.ended = child, stdin, ended
	if err := child.Start(); err != nil {
		close(ended)
		_ = logFile.Close()
		return fmt.Errorf("start the control plane %s: %w", p.binary, err)
	}
	lines := make(chan string, 1)
	go func() {
		defer close(ended)
		out := bufio.NewReader(stdout)
		if line, err := out.ReadString('\n'); err == nil {
			lines <- line
		}
		_, _ = io.Copy(io.Discard, out)
		_ = child.Wait()
		_ = logFile.Close()
	}()

	select {
	case line := <-lines:
		return p.readied(line)
	case <-ended:
		return fmt.Errorf("the control plane ended while it started (%s); its last words, from %s:\n%s", child.ProcessState, logPath, lastLines(logPath))
	case <-ctx.Done():
		_ = child.Process.Kill()
		<-ended
		return fmt.Errorf("the control plane was not ready: %w; its last words, from %s:\n%s", context.Cause(ctx), logPath, lastLines(logPath))
	}
}

func (p *process) readied(line string) error {
	var ready struct{ APIServer string }
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		return fmt.Errorf("the control plane %s said %q instead of its ready line; is it the server of this version?: %w", p.binary, line, err)
	}
	address, err := url.Parse(ready.APIServer)
	if err != nil {
		return err
	}
	p.port = address.Port()
	return nil
}

func (p *process) stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == nil || p.child.Process == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	if err := p.child.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the control plane: %w", err)
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		_ = p.child.Process.Kill()
		<-p.ended
	}
	return nil
}

func (p *process) kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == nil || p.child.Process == nil {
		return nil
	}
	if err := p.child.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the control plane: %w", err)
	}
	<-p.ended
	return nil
}

// lastLines is the end of a log, for an error.
func lastLines(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return lastOf(string(content))
}
