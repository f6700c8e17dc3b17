package testworld

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Process is an agent, as a process of its own.
type Process struct {
	// Log is the file with what the agent says.
	Log string
	// Ended is closed when the process has ended, with or without being asked.
	Ended <-chan struct{}

	shop    *Shop
	command *exec.Cmd
	err     error // of the process, once Ended is closed
}

// StartAgent runs `pawl agent` for the shop, with its log in the shop's
// folder, and returns when it answers; one that does not is ended. pawl is the path of the binary.
func (s *Shop) StartAgent(ctx context.Context, pawl string) (*Process, error) {
	out, err := os.OpenFile(filepath.Join(s.Folder, "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	temporary := s.Temporary()
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	p := &Process{shop: s, command: exec.Command(pawl, "agent", "--config", s.Config), Log: out.Name(), Ended: ended}
	p.command.Env = append(os.Environ(), "TMPDIR="+temporary)
	p.command.Stdout, p.command.Stderr = out, out
	// The agent must not outlive whoever started it, not even if that is killed.
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	go func() {
		p.err = p.command.Wait()
		close(ended)
	}()
	err = Until(ctx, "the agent to answer", func(ctx context.Context) (bool, string, error) {
		select {
		case <-p.Ended:
			return false, "", fmt.Errorf("the agent ended: %w\n%s", p.err, p.Tail(10))
		default:
		}
		_, err := s.Status(ctx)
		return err == nil, fmt.Sprint(err), nil
	})
	if err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}

// Temporary is where the shop's agents would put temporary files.
func (s *Shop) Temporary() string { return filepath.Join(s.Folder, "tmp") }

// PID is the process's id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Kill ends the agent at once, as kill -9.
func (p *Process) Kill() error {
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.Ended
	return nil
}

// Stop asks the agent to end, as a cluster would, and waits for it.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.Ended:
		if p.err != nil {
			return fmt.Errorf("the agent did not end well: %w", p.err)
		}
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("the agent did not end in time"), p.command.Process.Kill())
	}
}

// Tail returns the last lines of the log.
func (p *Process) Tail(lines int) string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

// Freeze stops the agent where it stands, as SIGSTOP, until Thaw.
func (p *Process) Freeze() error { return p.command.Process.Signal(syscall.SIGSTOP) }

// Thaw lets it run on.
func (p *Process) Thaw() error { return p.command.Process.Signal(syscall.SIGCONT) }
