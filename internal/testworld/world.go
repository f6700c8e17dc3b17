// Package testworld starts the real servers that Pawl works with, on this
// machine: a Kubernetes control plane, git over HTTP, a registry, and a GitHub
// stand-in on the same repositories. Tests, `pawl demo` and `pawl world` use it.
package testworld

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
	"github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

// Options say what is not to be started afresh; the zero value starts all.
type Options struct {
	// ControlPlane serves instead of an own one. It is not stopped with the world.
	ControlPlane *controlplane.ControlPlane
	// Kubeconfig names a cluster that is there already.
	Kubeconfig string
	// DataDir keeps the control plane's data; empty is a temporary folder.
	DataDir string
	// GitHubAddr and RegistryAddr are where these listen; empty is any free
	// port of 127.0.0.1.
	GitHubAddr, RegistryAddr string
	// Progress receives what a build of the control plane says; nil is standard error.
	Progress io.Writer
}

// World is a set of servers that belong together.
type World struct {
	ControlPlane *controlplane.ControlPlane
	GitHub       *github.Server // and git, below the same address
	Registry     *registry.Registry

	ownControlPlane bool

	install   sync.Mutex
	installed bool // the agent's account is there, with its rights
}

// Start starts what is missing, side by side. The servers run until Stop.
func Start(ctx context.Context, o Options) (*World, error) {
	w := &World{ControlPlane: o.ControlPlane}
	var starting errgroup.Group
	if w.ControlPlane == nil {
		starting.Go(func() (err error) {
			if o.Kubeconfig != "" {
				w.ControlPlane, err = controlplane.Existing(o.Kubeconfig)
				return err
			}
			w.ownControlPlane = true
			w.ControlPlane, err = controlplane.Start(ctx, controlplane.Options{DataDir: o.DataDir, Progress: o.Progress})
			return err
		})
	}
	// Not bound to ctx, which may end when the start is over.
	serving := context.WithoutCancel(ctx)
	starting.Go(func() (err error) {
		w.GitHub, err = github.Start(serving, github.Options{Addr: o.GitHubAddr})
		return err
	})
	starting.Go(func() (err error) {
		w.Registry, err = registry.Start(serving, registry.Options{Addr: o.RegistryAddr})
		return err
	})
	if err := starting.Wait(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the servers: %w", err), w.Stop(ctx))
	}
	return w, nil
}

// Stop stops what Start started.
func (w *World) Stop(ctx context.Context) error {
	var problems []error
	if w.GitHub != nil {
		problems = append(problems, w.GitHub.Close())
	}
	if w.Registry != nil {
		problems = append(problems, w.Registry.Close())
	}
	if w.ControlPlane != nil && w.ownControlPlane {
		problems = append(problems, w.ControlPlane.Stop(ctx))
	}
	return errors.Join(problems...)
}

// Endpoints are where the servers of a world are.
type Endpoints struct {
	Kubeconfig string `json:"kubeconfig"`
	AuditLog   string `json:"auditLog,omitempty"`
	GitHub     string `json:"github"` // pages, API and git
	Registry   string `json:"registry"`
}

// Endpoints returns where the servers are.
func (w *World) Endpoints() Endpoints {
	return Endpoints{
		Kubeconfig: w.ControlPlane.Kubeconfig, AuditLog: w.ControlPlane.AuditLog,
		GitHub: w.GitHub.URL(), Registry: w.Registry.Host(),
	}
}

// stopTimeout bounds the end of a visited world, after which it is killed.
const stopTimeout = 30 * time.Second

// Visit starts a world of its own, and a folder for files, for as long as do runs.
func Visit(ctx context.Context, do func(w *World, folder string) error) (err error) {
	folder, err := os.MkdirTemp("", "pawl-world-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	world, err := Start(ctx, Options{})
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, world.Stop(stopping))
	}()
	return do(world, folder)
}
