// Package controlplane starts a real Kubernetes control plane for tests and
// the demo: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and
// simulated nodes, with RBAC and an audit log, in one child process that never
// outlives its parent.
//
// The process is built from the module in the folder server, once for each
// version of its sources, into the user's cache folder. Two other sources can
// serve instead: the environment variable PAWL_CONTROLPLANE names a binary
// that is already built, and KUBEBUILDER_ASSETS a folder with etcd and
// kube-apiserver, in envtest's convention; with the latter there are neither
// controllers nor nodes. Existing wraps a cluster that runs already.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Options are optional.
type Options struct {
	// DataDir keeps etcd, certificates, kubeconfig and audit log; starting
	// again on the same folder continues. Empty is a temporary folder that
	// Stop, or the end of this process, removes.
	DataDir string

	// Log receives what the control plane says, besides the file
	// controlplane.log in its data folder. Nil is nobody.
	Log io.Writer

	// Progress receives what a build says, which takes minutes the first
	// time. Nil is standard error.
	Progress io.Writer
}

// ControlPlane is a control plane that runs. Its methods may be called from
// several goroutines, but Stop, Kill and Restart concern all its users.
type ControlPlane struct {
	// Kubeconfig is the path of an administrator's kubeconfig.
	Kubeconfig string
	// AuditLog is the path of the audit log; empty for an existing cluster.
	AuditLog string
	// DataDir is where everything is kept; empty for an existing cluster.
	DataDir string

	plane     plane
	ephemeral bool
}

// plane is what is behind a ControlPlane: our own process or prebuilt ones.
type plane interface {
	start(context.Context) error
	stop(context.Context) error
	kill() error
}

// Start starts a control plane and waits until a created pod would run. The
// context bounds the start alone.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	cp := &ControlPlane{DataDir: o.DataDir}
	if o.DataDir == "" {
		dir, err := os.MkdirTemp("", "pawl-controlplane-")
		if err != nil {
			return nil, fmt.Errorf("make a data folder for the control plane: %w", err)
		}
		cp.DataDir, cp.ephemeral = dir, true
	}
	var err error
	if cp.DataDir, err = filepath.Abs(cp.DataDir); err != nil {
		return nil, err
	}
	cp.Kubeconfig = filepath.Join(cp.DataDir, "kubeconfig")
	cp.AuditLog = filepath.Join(cp.DataDir, "audit.log")
	if cp.plane, err = choose(ctx, cp, o); err == nil {
		err = cp.plane.start(ctx)
	}
	if err != nil {
		if cp.ephemeral {
			_ = os.RemoveAll(cp.DataDir)
		}
		return nil, err
	}
	return cp, nil
}

// choose prefers what was named for Pawl, then what was named for any
// Kubernetes test, then what can be built.
func choose(ctx context.Context, cp *ControlPlane, o Options) (plane, error) {
	binary := os.Getenv(binaryVariable)
	if binary == "" {
		if assets := os.Getenv(assetsVariable); assets != "" {
			return newPrebuilt(assets, cp, o)
		}
		var err error
		if binary, err = Build(ctx, o.Progress); err != nil {
			return nil, err
		}
	}
	return &process{binary: binary, dataDir: cp.DataDir, removeWithParent: cp.ephemeral, log: o.Log}, nil
}

// Existing wraps a cluster that runs already. It cannot be stopped, killed or
// restarted from here and has no audit log to read.
func Existing(kubeconfig string) (*ControlPlane, error) {
	if _, err := clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return nil, fmt.Errorf("use the cluster of kubeconfig %s: %w", kubeconfig, err)
	}
	return &ControlPlane{Kubeconfig: kubeconfig}, nil
}

// RESTConfig is an administrator's configuration of its own for each caller,
// without a client-side limit on requests. It is read from the kubeconfig, so
// ask again after a Restart of prebuilt binaries, whose certificates change.
func (cp *ControlPlane) RESTConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", cp.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the control plane's kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}

// Audit reads the audit log.
func (cp *ControlPlane) Audit() *Audit { return &Audit{path: cp.AuditLog} }

// errNotOurs is the answer of an existing cluster.
var errNotOurs = errors.New("this cluster was there before; it is not ours to stop or restart")

// Stop stops the control plane, by force when the context ends first, and
// removes a temporary data folder. An existing cluster is left alone.
func (cp *ControlPlane) Stop(ctx context.Context) error {
	if cp.plane == nil {
		return nil
	}
	err := cp.plane.stop(ctx)
	if cp.ephemeral {
		err = errors.Join(err, os.RemoveAll(cp.DataDir))
	}
	return err
}

// Kill is kill -9: no chance to tidy up. Restart starts on what is left.
func (cp *ControlPlane) Kill() error {
	if cp.plane == nil {
		return errNotOurs
	}
	return cp.plane.kill()
}

// Restart stops the control plane, if it runs, and starts it on the same data
// and the same address, so that clients find it again.
func (cp *ControlPlane) Restart(ctx context.Context) error {
	if cp.plane == nil {
		return errNotOurs
	}
	if err := cp.plane.stop(ctx); err != nil {
		return err
	}
	return cp.plane.start(ctx)
}

// startWithin bounds a start for callers whose context does not.
const startWithin = 3 * time.Minute
