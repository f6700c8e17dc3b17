package sealed

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

// process is a child as its parent sees it. One goroutine uses it at a time,
// any may kill it.
type process struct {
	cmd    *exec.Cmd
	to     io.WriteCloser
	from   io.Reader
	stderr *stderr
	memory int64
	guards Guards

	builds  int
	yielded atomic.Bool // which cannot be taken back, so the child is not used again
	retire  *time.Timer // while idle
	// wait reaps the process and says how it ended.
	wait func() error
}

// startWithin is how long a child may take until it is ready: far more than the
// 50 ms that it takes, on a machine that is busy.
const startWithin = 30 * time.Second

// startProcess starts a child and waits until it has sealed itself.
func startProcess(ctx context.Context, name string, s settings) (*process, error) {
	program, err := self()
	if err != nil {
		return nil, err
	}
	p := &process{stderr: new(stderr), memory: s.Memory}
	p.cmd = &exec.Cmd{Path: program, Args: []string{name}, Env: []string{"GOMAXPROCS=1", "GOTRACEBACK=none"}, Dir: "/", Stderr: p.stderr}
	p.wait = sync.OnceValue(p.cmd.Wait)
	ownGroup(p.cmd)
	if p.to, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	from, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.from = bufio.NewReader(from)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	deadline := time.AfterFunc(startWithin, p.kill)
	defer deadline.Stop()
	if err := send(p.to, kindStart, s, nil); err != nil {
		return nil, p.failedToStart(ctx, err)
	}
	k, header, _, err := receive(p.from, maxHeader)
	if err == nil && k != kindReady {
		err = fmt.Errorf("it said %d, not that it is ready", k)
	}
	if err == nil {
		err = json.Unmarshal(header, &p.guards)
	}
	if err != nil {
		return nil, p.failedToStart(ctx, err)
	}
	return p, nil
}

func (p *process) failedToStart(ctx context.Context, err error) error {
	p.kill()
	_ = p.wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if said := p.stderr.fatal(); said != "" {
		err = errors.New(said)
	}
	return fmt.Errorf("it did not come up: %w", err)
}

// kill ends the process now; it may be called at any time and again.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// yield gives the process what others leave of the processors.
func (p *process) yield() {
	p.yielded.Store(true)
	lowestPriority(p.cmd.Process.Pid)
}

// build has the child build a job, and says whether the child is of no more use.
func (p *process) build(ctx context.Context, job render.Job) (made render.Built, spent bool, err error) {
	p.builds++
	var late atomic.Bool
	deadline := time.AfterFunc(job.Limits.Time, func() {
		late.Store(true)
		p.kill()
	})
	stop := context.AfterFunc(ctx, p.kill)
	made, spent, err = p.converse(job)
	unharmed := deadline.Stop()
	unharmed = stop() && unharmed

	var ended *conversationEnded
	if !errors.As(err, &ended) {
		return made, spent || !unharmed, err
	}
	p.kill()
	exit := p.wait()
	if ctx.Err() != nil {
		return render.Built{}, true, ctx.Err()
	}
	return render.Built{}, true, &render.Error{Target: job.Target, File: path.Clean(job.Target.Overlay), Err: p.postMortem(job.Limits, late.Load(), ended.cause, exit)}
}

// postMortem says why a build was not finished.
func (p *process) postMortem(limits render.Limits, late bool, cause, exit error) error {
	var exited *exec.ExitError
	said := p.stderr.fatal()
	switch {
	case late:
		return &render.Unfinished{Reason: "time", What: fmt.Sprintf("did not finish within %s, the limit; make the overlay smaller, or raise it", limits.Time)}
	case errors.Is(cause, errTooLong):
		return &render.Exceeded{Limit: "output", What: fmt.Sprintf("renders to more than %d bytes of JSON, the limit", limits.Output)}
	case outOfMemory(said):
		return &render.Unfinished{Reason: "memory", What: fmt.Sprintf("needs more than %d MiB of memory to be rendered, the limit; make the overlay smaller, or raise it", limits.Memory>>20)}
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
	return &render.Unfinished{Reason: "crash", What: "the process that rendered it ended (" + said + ")"}
}

// conversationEnded says that a child did not say how a build ended.
type conversationEnded struct{ cause error }

func (e *conversationEnded) Error() string { return e.cause.Error() }

// converse sends a job, answers what the child asks and returns what it makes,
// and whether the child asks to be replaced.
func (p *process) converse(job render.Job) (made render.Built, spent bool, err error) {
	ended := func(err error) (render.Built, bool, error) { return render.Built{}, true, &conversationEnded{err} }
	if err := send(p.to, kindJob, order{job.Target, job.Limits}, nil); err != nil {
		return ended(err)
	}
	for {
		k, header, body, err := receive(p.from, job.Limits.Output+maxHeader)
		if err != nil {
			return ended(err)
		}
		switch k {
		case kindStat, kindRead, kindList:
			var q question
			if err := json.Unmarshal(header, &q); err != nil {
				return ended(err)
			}
			r, content := answerTo(k, q, job.Files)
			if err := send(p.to, kindAnswer, r, content); err != nil {
				return ended(err)
			}
		case kindBuilt:
			var made product
			if err := json.Unmarshal(header, &made); err != nil {
				return ended(err)
			}
			objects, err := decodeObjects(body, job.Limits.Objects)
			if err != nil {
				return ended(err)
			}
			return render.Built{Objects: objects, Kustomizations: made.Kustomizations, Manifests: made.Manifests, OwnSchema: made.OwnSchema}, made.OwnSchema, nil
		case kindFailed:
			var f failure
			if err := json.Unmarshal(header, &f); err != nil {
				return ended(err)
			}
			return render.Built{}, f.Spent, ofBuild(f.Fault.err(), job.Target)
		default:
			return ended(fmt.Errorf("it said %d, which is no message", k))
		}
	}
}

// ofBuild makes an error that a child reports one of the target.
func ofBuild(err error, target environments.Target) error {
	var e *render.Error
	var empty *render.Empty
	switch {
	case errors.As(err, &e):
		e.Target = target
		return e
	case errors.As(err, &empty):
		empty.Target = target
		return empty
	}
	if err == nil {
		err = errors.New("the process that rendered it gave no reason")
	}
	return &render.Error{Target: target, File: path.Clean(target.Overlay), Err: err}
}

// answerTo asks the revision what the child asks. Paths are those of the tree:
// nothing outside has one.
func answerTo(k kind, q question, files render.Files) (reply, []byte) {
	var r reply
	var content []byte
	var err error
	switch k {
	case kindStat:
		r.Entry, err = files.Stat(q.Path)
	case kindRead:
		content, r.Entry, err = files.Read(q.Path)
	case kindList:
		r.Names, err = files.List(q.Path)
	}
	r.Fault = faultOf(err)
	return r, content
}

// self is this program, even where its file was replaced since.
func self() (string, error) {
	const running = "/proc/self/exe"
	if _, err := os.Stat(running); err == nil {
		return running, nil
	}
	return os.Executable()
}
