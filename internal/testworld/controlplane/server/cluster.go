package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	apiapp "k8s.io/kubernetes/cmd/kube-apiserver/app"
	managerapp "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	schedulerapp "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"github.com/pawl-dev/pawl/internal/testworld/controlplane/server/node"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane/server/pki"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

// cluster is everything that runs.
type cluster struct {
	url, adminKubeconfig, auditLog string
	nodes                          int

	// failed receives the first component's end that nobody asked for.
	failed chan error

	stopClients, stopAPI context.CancelFunc
	clients              sync.WaitGroup
	apiDone              chan struct{}
	closeEtcd            func()
}

// start starts etcd and the API server, and everything else as soon as the
// API server answers. It returns before that.
func start(s settings, dataDir string, certificates pki.Folder) (*cluster, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	if err != nil {
		return nil, fmt.Errorf("listen for the API server: %w", err)
	}
	c := &cluster{
		url:             "https://" + listener.Addr().String(),
		adminKubeconfig: filepath.Join(dataDir, "kubeconfig"),
		auditLog:        filepath.Join(dataDir, "audit.log"),
		nodes:           s.nodes,
		failed:          make(chan error, 8),
		apiDone:         make(chan struct{}),
	}
	f := files{
		auditPolicy:       filepath.Join(dataDir, "audit-policy.yaml"),
		auditLog:          c.auditLog,
		managerKubeconfig: filepath.Join(dataDir, "controller-manager.kubeconfig"),
		schedulerKubeconf: filepath.Join(dataDir, "scheduler.kubeconfig"),
		pki:               certificates,
	}
	nodesKubeconfig := filepath.Join(dataDir, "nodes.kubeconfig")
	if err := os.WriteFile(f.auditPolicy, auditPolicy, 0o600); err != nil {
		return nil, err
	}
	for identity, path := range map[string]string{
		"admin":              c.adminKubeconfig,
		"controller-manager": f.managerKubeconfig,
		"scheduler":          f.schedulerKubeconf,
		"nodes":              nodesKubeconfig,
	} {
		if err := writeKubeconfig(path, c.url, certificates, identity); err != nil {
			return nil, err
		}
	}
	etcd, etcdURL, err := startEtcd(dataDir)
	if err != nil {
		return nil, err
	}
	c.closeEtcd = etcd.Close
	serving, err := kubeletTLS(certificates)
	if err != nil {
		return nil, err
	}
	options, err := parseComponents(f, etcdURL)
	if err != nil {
		return nil, err
	}
	// Kubernetes' own components only warn themselves.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})

	// A client's default user agent, and with it the field manager that
	// managedFields show, begins with os.Args[0].
	os.Args[0] = "kube-apiserver"
	apiContext, stopAPI := context.WithCancel(context.Background())
	c.stopAPI = stopAPI
	options.api.SecureServing.Listener = listener
	options.api.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port
	completed, err := options.api.Complete(apiContext)
	if err != nil {
		return nil, fmt.Errorf("kube-apiserver's options: %w", err)
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return nil, fmt.Errorf("kube-apiserver's options: %w", utilerrors.NewAggregate(errs))
	}
	go func() {
		defer close(c.apiDone)
		if err := apiapp.Run(apiContext, completed); apiContext.Err() == nil {
			c.failed <- fmt.Errorf("kube-apiserver ended: %w", orUnexpected(err))
		}
	}()

	clientContext, stopClients := context.WithCancel(context.Background())
	c.stopClients = stopClients
	c.run("simulated nodes", clientContext, func(ctx context.Context) error {
		config, err := clientcmd.BuildConfigFromFlags("", nodesKubeconfig)
		if err != nil {
			return err
		}
		if err := waitAnswers(ctx, config); err != nil {
			return err
		}
		c.startControllers(ctx, options)
		return node.Run(ctx, config, s.nodes, serving)
	})
	return c, nil
}

// kubeletTLS lets the simulated kubelets serve with the certificate of this
// machine's address, to callers that the control plane vouches for.
func kubeletTLS(certificates pki.Folder) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certificates.Cert("apiserver"), certificates.Key("apiserver"))
	if err != nil {
		return nil, fmt.Errorf("the simulated kubelets' certificate: %w", err)
	}
	authority, err := os.ReadFile(certificates.Cert("ca"))
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(authority)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}, nil
}

// startControllers starts the scheduler and the controller manager. The
// scheduler makes all its clients in Setup and the controller manager goes on
// making them, so the controller manager's name is the last one set.
func (c *cluster) startControllers(ctx context.Context, options components) {
	os.Args[0] = "kube-scheduler"
	config, scheduler, err := schedulerapp.Setup(ctx, options.scheduler)
	if err != nil {
		c.failed <- fmt.Errorf("set up kube-scheduler: %w", err)
		return
	}
	c.run("kube-scheduler", ctx, func(ctx context.Context) error { return schedulerapp.Run(ctx, config, scheduler) })

	os.Args[0] = "kube-controller-manager"
	manager, err := options.manager.Config(ctx, managerapp.KnownControllers(), managerapp.ControllersDisabledByDefault(), managerapp.ControllerAliases())
	if err != nil {
		c.failed <- fmt.Errorf("set up kube-controller-manager: %w", err)
		return
	}
	c.run("kube-controller-manager", ctx, func(ctx context.Context) error { return managerapp.Run(ctx, manager.Complete()) })
}

// run runs a client of the API server; its end is a failure unless asked for.
func (c *cluster) run(name string, ctx context.Context, f func(context.Context) error) {
	c.clients.Go(func() {
		if err := f(ctx); ctx.Err() == nil {
			c.failed <- fmt.Errorf("%s ended: %w", name, orUnexpected(err))
		}
	})
}

// stop stops the clients before their server, and etcd last.
func (c *cluster) stop() {
	c.stopClients()
	c.clients.Wait()
	c.stopAPI()
	<-c.apiDone
	c.closeEtcd()
}

// waitReady waits until a pod that somebody creates would run: the API server
// answers, nodes are ready and free of taints, and the controllers have made
// the first service account.
func (c *cluster) waitReady(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", c.adminKubeconfig)
	if err != nil {
		return err
	}
	if err := waitAnswers(ctx, config); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	missing := "nodes"
	err = wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil || readyNodes(nodes.Items) < c.nodes {
			missing = "nodes that are ready and without taints"
			return false, nil
		}
		if _, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
			missing = "the service account default/default"
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("the control plane did not become ready; still missing: %s: %w", missing, err)
	}
	return nil
}

func readyNodes(nodes []corev1.Node) int {
	count := 0
	for _, n := range nodes {
		for _, condition := range n.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && len(n.Spec.Taints) == 0 {
				count++
			}
		}
	}
	return count
}

func waitAnswers(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	var last error
	err = wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		last = client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the API server's /readyz: %w (last answer: %v)", err, last)
	}
	return nil
}

func writeKubeconfig(path, server string, certificates pki.Folder, identity string) error {
	const name = "testworld"
	config := clientcmdapi.NewConfig()
	var err error
	read := func(path string) []byte {
		data, readErr := os.ReadFile(path)
		err = errors.Join(err, readErr)
		return data
	}
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: read(certificates.Cert("ca"))}
	config.AuthInfos[identity] = &clientcmdapi.AuthInfo{
		ClientCertificateData: read(certificates.Cert(identity)),
		ClientKeyData:         read(certificates.Key(identity)),
	}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: identity}
	config.CurrentContext = name
	if err != nil {
		return err
	}
	return clientcmd.WriteToFile(*config, path)
}

func orUnexpected(err error) error {
	if err != nil {
		return err
	}
	return errors.New("without an error and without being asked to")
}
