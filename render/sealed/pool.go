package sealed

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/render"
)

// Pool builds overlays in sealed children. It is a render.Builder, for any
// number of renderers and goroutines.
type Pool struct{ children *sealed.Pool }

var _ render.Builder = (*Pool)(nil)

// New makes a pool, for a program whose main knows Worker. It starts no child
// before one is needed.
func New(o sealed.Options) *Pool { return &Pool{sealed.New(Worker, o)} }

// Build builds a job in a child. It ends at the deadline of the job's limits at
// the latest, waiting for a turn not counted.
func (p *Pool) Build(ctx context.Context, job render.Job) (made render.Built, err error) {
	job.Limits = job.Limits.WithDefaults()
	err = p.children.Do(ctx, job.Limits.Memory, func(c *sealed.Child) (spent bool, err error) {
		c.Deadline(job.Limits.Time)
		made, spent, err = converse(c, job)
		return spent, err
	})
	var ended *sealed.Ended
	if errors.As(err, &ended) {
		err = &render.Error{Target: job.Target, File: path.Clean(job.Target.Overlay), Err: unfinished(ended, job.Limits)}
	}
	if err != nil {
		return render.Built{}, err
	}
	return made, nil
}

// Guards starts a child, unless one was started before, and tells what holds
// children of this process back.
func (p *Pool) Guards(ctx context.Context) (sealed.Guards, error) {
	return p.children.Guards(ctx, render.Limits{}.WithDefaults().Memory)
}

// Warm has a child ready for builds of these limits, so that the next need not
// wait for one to start.
func (p *Pool) Warm(ctx context.Context, limits render.Limits) error {
	return p.children.Warm(ctx, limits.WithDefaults().Memory)
}

// Close ends all children, those in the middle of a build as well.
func (p *Pool) Close() error { return p.children.Close() }

// unfinished says why a build did not end.
func unfinished(ended *sealed.Ended, limits render.Limits) error {
	switch ended.Reason {
	case sealed.Late:
		return &render.Unfinished{Reason: "time", What: fmt.Sprintf("did not finish within %s, the limit; make the overlay smaller, or raise it", limits.Time)}
	case sealed.Memory:
		return &render.Unfinished{Reason: "memory", What: fmt.Sprintf("needs more than %d MiB of memory to be rendered, the limit; make the overlay smaller, or raise it", limits.Memory>>20)}
	case sealed.Length:
		return &render.Exceeded{Limit: "output", What: fmt.Sprintf("renders to more than %d bytes of JSON, the limit", limits.Output)}
	default:
		return &render.Unfinished{Reason: "crash", What: "the process that rendered it ended (" + ended.Said + ")"}
	}
}

// converse sends a job, answers what the child asks and returns what it makes,
// and whether the child asks to be replaced.
func converse(c *sealed.Child, job render.Job) (made render.Built, spent bool, err error) {
	if err := c.Send(kindJob, order{job.Target, job.Limits}, nil); err != nil {
		return made, true, err
	}
	for {
		m, err := c.Receive(job.Limits.Output + sealed.MaxHeader)
		if err != nil {
			return made, true, err
		}
		switch m.Kind {
		case kindStat, kindRead, kindList:
			var q question
			if err := m.Decode(&q); err != nil {
				return made, true, err
			}
			r, content := answerTo(m.Kind, q, job.Files)
			if err := c.Send(kindAnswer, r, content); err != nil {
				return made, true, err
			}
		case kindBuilt:
			var p product
			if err := m.Decode(&p); err != nil {
				return made, true, err
			}
			objects, err := decodeObjects(m.Body, job.Limits.Objects)
			if err != nil {
				return made, true, sealed.Broken(err)
			}
			return render.Built{Objects: objects, Kustomizations: p.Kustomizations, Manifests: p.Manifests, OwnSchema: p.OwnSchema}, p.OwnSchema, nil
		case kindFailed:
			var f failure
			if err := m.Decode(&f); err != nil {
				return made, true, err
			}
			return made, f.Spent, ofBuild(f.Fault.err(), job.Target)
		default:
			return made, true, sealed.Unexpected(m)
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
func answerTo(k sealed.Kind, q question, files render.Files) (reply, []byte) {
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
