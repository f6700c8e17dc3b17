package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
	basecompatibility "k8s.io/component-base/compatibility"
	logsapi "k8s.io/component-base/logs/api/v1"
	apioptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	managerapp "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	manageroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"github.com/pawl-dev/pawl/internal/testworld/controlplane/server/pki"
)

// components are upstream's three option sets, parsed.
type components struct {
	api       *apioptions.ServerRunOptions
	manager   *manageroptions.KubeControllerManagerOptions
	scheduler *scheduleroptions.Options
}

// files are the paths that the components' flags name.
type files struct {
	auditPolicy, auditLog                string
	managerKubeconfig, schedulerKubeconf string
	pki                                  pki.Folder
}

// parseComponents reads all three before anything starts: they share feature
// gates and a logger, each of which may be set only once in a process.
func parseComponents(f files, etcdURL string) (components, error) {
	var c components

	c.api = apioptions.NewServerRunOptions()
	err := parse("kube-apiserver", c.api.Flags(), []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		"--tls-cert-file=" + f.pki.Cert("apiserver"),
		"--tls-private-key-file=" + f.pki.Key("apiserver"),
		"--client-ca-file=" + f.pki.Cert("ca"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file=" + f.pki.Key("service-account"),
		"--service-account-key-file=" + f.pki.Key("service-account"),
		"--requestheader-client-ca-file=" + f.pki.Cert("front-proxy-ca"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + f.pki.Cert("front-proxy-client"),
		"--proxy-client-key-file=" + f.pki.Key("front-proxy-client"),
		// The simulated kubelets, for the logs of pods.
		"--kubelet-certificate-authority=" + f.pki.Cert("ca"),
		"--kubelet-client-certificate=" + f.pki.Cert("nodes"),
		"--kubelet-client-key=" + f.pki.Key("nodes"),
		"--kubelet-preferred-address-types=ExternalIP",
		"--authorization-mode=Node,RBAC",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--allow-privileged=true",
		"--audit-policy-file=" + f.auditPolicy,
		"--audit-log-path=" + f.auditLog,
		// Blocking: a request that was answered is in the log.
		"--audit-log-mode=blocking",
		// In megabytes: one file, or an offset into it would lose its meaning.
		"--audit-log-maxsize=1000000",
	})
	if err != nil {
		return c, err
	}

	c.manager, err = manageroptions.NewKubeControllerManagerOptions()
	if err != nil {
		return c, err
	}
	flags := c.manager.Flags(managerapp.KnownControllers(), managerapp.ControllersDisabledByDefault(), managerapp.ControllerAliases())
	c.manager.ParsedFlags = &flags
	err = parse("kube-controller-manager", flags, []string{
		"--kubeconfig=" + f.managerKubeconfig,
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + f.pki.Key("service-account"),
		"--root-ca-file=" + f.pki.Cert("ca"),
		"--cluster-signing-cert-file=" + f.pki.Cert("ca"),
		"--cluster-signing-key-file=" + f.pki.Key("ca"),
		// No such plugins: the default is a folder of the system, and a folder
		// of ours is made again while an exiting process removes its data.
		"--flex-volume-plugin-dir=" + filepath.Join(os.DevNull, "none"),
		// The default of 20 a second would be what a benchmark measures.
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
	})
	if err != nil {
		return c, err
	}

	c.scheduler = scheduleroptions.NewOptions()
	err = parse("kube-scheduler", *c.scheduler.Flags, []string{
		"--kubeconfig=" + f.schedulerKubeconf,
		"--secure-port=0",
		"--leader-elect=false",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
	})
	if err != nil {
		return c, err
	}

	registry := c.api.GenericServerRunOptions.ComponentGlobalsRegistry
	if err := registry.Set(); err != nil {
		return c, err
	}
	gates := registry.FeatureGateFor(basecompatibility.DefaultKubeComponent)
	return c, logsapi.ValidateAndApply(c.api.Logs, gates)
}

func parse(component string, named cliflag.NamedFlagSets, arguments []string) error {
	set := pflag.NewFlagSet(component, pflag.ContinueOnError)
	for _, flags := range named.FlagSets {
		set.AddFlagSet(flags)
	}
	if err := set.Parse(arguments); err != nil {
		return fmt.Errorf("%s: %w", component, err)
	}
	return nil
}
