package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// prebuilt is etcd and kube-apiserver as envtest knows them: no controllers
// and no nodes, so nothing becomes ready by itself, and no way to kill -9.
// Unlike our own process they outlive a parent that is killed.
type prebuilt struct {
	assets string
	cp     *ControlPlane
	log    io.Writer

	mu      sync.Mutex
	running *envtest.Environment
	address envtest.ListenAddr // of the first start, kept by later ones
}

// prebuiltAuditPolicy keeps what the server's own policy keeps of everybody
// outside of the control plane.
const prebuiltAuditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
rules:
  - level: None
    users: ["system:apiserver"]
  - level: RequestResponse
    verbs: [create, update, patch, delete, deletecollection]
  - level: Metadata
    omitStages: [RequestReceived]
`

func newPrebuilt(assets string, cp *ControlPlane, o Options) (*prebuilt, error) {
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if !exists(filepath.Join(assets, name)) {
			return nil, fmt.Errorf("%s is set to %s, where there is no %s; unset it to have a control plane built, or put envtest's binaries there", assetsVariable, assets, name)
		}
	}
	return &prebuilt{assets: assets, cp: cp, log: o.Log}, nil
}

func (p *prebuilt) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	etcdDir := filepath.Join(p.cp.DataDir, "etcd")
	if err := os.MkdirAll(etcdDir, 0o700); err != nil {
		return fmt.Errorf("make the control plane's data folder: %w", err)
	}
	policy := filepath.Join(p.cp.DataDir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(prebuiltAuditPolicy), 0o600); err != nil {
		return err
	}
	environment := &envtest.Environment{BinaryAssetsDirectory: p.assets}
	environment.ControlPlane.Etcd = &envtest.Etcd{DataDir: etcdDir, Out: p.log, Err: p.log}
	server := environment.ControlPlane.GetAPIServer()
	server.Out, server.Err = p.log, p.log
	server.SecureServing.ListenAddr = p.address
	server.Configure().
		Set("audit-policy-file", policy).
		Set("audit-log-path", p.cp.AuditLog).
		Set("audit-log-mode", "blocking").
		Set("audit-log-maxsize", "1000000").
		// envtest leaves it out for want of the controller; see Namespace.
		Disable("disable-admission-plugins")
	if _, err := environment.Start(); err != nil {
		return fmt.Errorf("start the prebuilt control plane of %s=%s: %w", assetsVariable, p.assets, errors.Join(err, environment.Stop()))
	}
	p.running, p.address = environment, server.SecureServing.ListenAddr
	return os.WriteFile(p.cp.Kubeconfig, environment.KubeConfig, 0o600)
}

func (p *prebuilt) stop(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return nil
	}
	environment := p.running
	p.running = nil
	if err := environment.Stop(); err != nil {
		return fmt.Errorf("stop the prebuilt control plane: %w", err)
	}
	return nil
}

func (p *prebuilt) kill() error {
	return fmt.Errorf("prebuilt binaries (%s) cannot be killed; unset it to have a control plane built", assetsVariable)
}
