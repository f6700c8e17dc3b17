package sealed

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Child is a child as its parent sees it. One goroutine uses it at a time, any
// may kill it.
type Child struct {
	// Memo is what its user remembers of it from one job to the next; nil in a child
	// that has done nothing yet.
	Memo any

	cmd    *exec.Cmd
	to     io.WriteCloser
	from   io.Reader
	stderr *stderr
	memory int64
	guards Guards

	jobs     int
	deadline *time.Timer // of the job, nil while it has none
	late     atomic.Bool // it was killed at its deadline
	yielded  atomic.Bool // which cannot be taken back, so the child is not used again
	retire   *time.Timer // while idle
	// wait reaps the process and says how it ended.
	wait func() error
}

// startWithin is how long a child may take until it is ready: far more than the
// 50 ms that it takes, on a machine that is busy.
const startWithin = 30 * time.Second

// startChild starts a child and waits until it has sealed itself.
func startChild(ctx context.Context, name string, s settings) (*Child, error) {
	program, err := self()
	if err != nil {
		return nil, err
	}
	c := &Child{stderr: new(stderr), memory: s.Memory}
	c.cmd = &exec.Cmd{Path: program, Args: []string{name}, Env: []string{"GOMAXPROCS=1", "GOTRACEBACK=none"}, Dir: "/", Stderr: c.stderr}
	c.wait = sync.OnceValue(c.cmd.Wait)
	ownGroup(c.cmd)
	if c.to, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	from, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.from = bufio.NewReader(from)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, c.kill)
	defer stop()
	deadline := time.AfterFunc(startWithin, c.kill)
	defer deadline.Stop()
	if err := send(c.to, kindStart, s, nil); err != nil {
		return nil, c.failedToStart(ctx, err)
	}
	m, err := receive(c.from, MaxHeader)
	if err == nil && m.Kind != kindReady {
		err = fmt.Errorf("it said %d, not that it is ready", m.Kind)
	}
	if err == nil {
		err = m.Decode(&c.guards)
	}
	if err != nil {
		return nil, c.failedToStart(ctx, err)
	}
	return c, nil
}

func (c *Child) failedToStart(ctx context.Context, err error) error {
	c.kill()
	_ = c.wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if said := c.stderr.fatal(); said != "" {
		err = errors.New(said)
	}
	return fmt.Errorf("it did not come up: %w", err)
}

// kill ends the process now; it may be called at any time and again.
func (c *Child) kill() { _ = c.cmd.Process.Kill() }

// yield gives the process what others leave of the processors.
func (c *Child) yield() {
	c.yielded.Store(true)
	lowestPriority(c.cmd.Process.Pid)
}

// Deadline kills the child unless its job, or this part of it, ends within so
// long. It takes the place of an earlier one.
func (c *Child) Deadline(within time.Duration) {
	if c.deadline != nil && !c.deadline.Stop() {
		return // it is being killed
	}
	c.deadline = time.AfterFunc(within, func() {
		c.late.Store(true)
		c.kill()
	})
}

// Send says something to the child.
func (c *Child) Send(k Kind, header any, body []byte) error {
	if err := send(c.to, k, header, body); err != nil {
		return &broken{err}
	}
	return nil
}

// Receive waits for what the child says next, which may have at most so many
// bytes.
func (c *Child) Receive(limit int64) (Message, error) {
	m, err := receive(c.from, limit)
	if err != nil {
		return m, &broken{err}
	}
	return m, nil
}

// Broken makes an error one that ends the child: what it said does not count.
func Broken(err error) error { return &broken{err} }

// Unexpected is the error for a message that is none at this point.
func Unexpected(m Message) error {
	return Broken(fmt.Errorf("it said %d, which is no message", m.Kind))
}

// broken says that a child did not say how its job ended, or nothing that counts.
type broken struct{ cause error }

func (e *broken) Error() string { return e.cause.Error() }
func (e *broken) Unwrap() error { return e.cause }

// do has the child do a job, and says whether the child is of no more use.
func (c *Child) do(ctx context.Context, job Job) (spent bool, err error) {
	c.jobs++
	c.deadline = nil
	stop := context.AfterFunc(ctx, c.kill)
	spent, err = job(c)
	unharmed := c.deadline == nil || c.deadline.Stop()
	unharmed = stop() && unharmed
	var b *broken
	if !errors.As(err, &b) {
		return spent || !unharmed, err
	}
	c.kill()
	exit := c.wait()
	if ctx.Err() != nil {
		return true, ctx.Err()
	}
	return true, c.postMortem(b.cause, exit)
}

// Reason is why a child ended in the middle of a job.
type Reason string

const (
	Late    Reason = "time"   // it was killed at its deadline
	Memory  Reason = "memory" // it needed more than it may have
	Length  Reason = "length" // it said more than it may
	Crashed Reason = "crash"  // it, or somebody, ended it
)

// Ended says that a child ended in the middle of a job, or was ended.
type Ended struct {
	Reason Reason
	Said   string // how, where it crashed; never what was in its input
}

func (e *Ended) Error() string {
	return fmt.Sprintf("the sealed process ended (%s)", cmp.Or(e.Said, string(e.Reason)))
}

func (c *Child) postMortem(cause, exit error) *Ended {
	var exited *exec.ExitError
	said := c.stderr.fatal()
	switch {
	case c.late.Load():
		return &Ended{Reason: Late}
	case errors.Is(cause, errTooLong):
		return &Ended{Reason: Length}
	case outOfMemory(said):
		return &Ended{Reason: Memory}
	case said != "":
	case !errors.Is(cause, io.EOF) && !errors.Is(cause, io.ErrUnexpectedEOF) && !errors.Is(cause, syscall.EPIPE):
		said = cause.Error() // the child went on, and was ended for what it said
	case errors.As(exit, &exited) && exited.ExitCode() < 0:
		said = exit.Error() + ", not by pawl: the machine or the pod may have run out of memory"
	case errors.As(exit, &exited):
		said = exit.Error()
	default:
		said = cause.Error()
	}
	return &Ended{Reason: Crashed, Said: said}
}

// self is this program, even where its file was replaced since.
func self() (string, error) {
	const running = "/proc/self/exe"
	if _, err := os.Stat(running); err == nil {
		return running, nil
	}
	return os.Executable()
}
