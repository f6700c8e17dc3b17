package sealed

import (
	"context"
	"errors"

	"sigs.k8s.io/kustomize/kyaml/openapi"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/render"
)

// Worker builds overlays, in a child.
var Worker = worker("pawl-render-child", render.InProcess())

func worker(name string, builder render.Builder) sealed.Worker {
	return sealed.Worker{Name: name, Start: func(parent *sealed.Parent) func(sealed.Message) error {
		openapi.Schema() // what every build needs is read before there is one
		return (&child{parent, builder}).build
	}}
}

type child struct {
	parent  *sealed.Parent
	builder render.Builder
}

func (c *child) build(m sealed.Message) error {
	var o order
	if m.Kind != kindJob {
		return sealed.Unexpected(m)
	}
	if err := m.Decode(&o); err != nil {
		return err
	}
	made, err := c.builder.Build(context.Background(), render.Job{Target: o.Target, Limits: o.Limits, Files: c})
	if err == nil {
		var objects []byte
		if objects, err = encodeObjects(made.Objects, o.Limits.Output); err == nil {
			return c.parent.Send(kindBuilt, product{made.Kustomizations, made.Manifests, made.OwnSchema}, objects)
		}
		file := ""
		if len(made.Kustomizations) > 0 {
			file = made.Kustomizations[0].File
		}
		err = &render.Error{Target: o.Target, File: file, Err: err}
	}
	return c.parent.Send(kindFailed, failure{faultOf(err), errors.As(err, new(*render.Panicked))}, nil)
}

// ask is a question to the parent.
func (c *child) ask(k sealed.Kind, p string) (reply, []byte, error) {
	if err := c.parent.Send(k, question{p}, nil); err != nil {
		return reply{}, nil, err
	}
	m := c.parent.Receive()
	var r reply
	if err := m.Decode(&r); err != nil {
		return reply{}, nil, err
	}
	return r, m.Body, r.Fault.err()
}

// The child is its builds' files.

func (c *child) Stat(p string) (gitsync.Entry, error) {
	r, _, err := c.ask(kindStat, p)
	return r.Entry, err
}

func (c *child) Read(p string) ([]byte, gitsync.Entry, error) {
	r, content, err := c.ask(kindRead, p)
	return content, r.Entry, err
}

func (c *child) List(folder string) ([]string, error) {
	r, _, err := c.ask(kindList, folder)
	return r.Names, err
}
