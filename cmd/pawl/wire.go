package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/agent/lease"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/gitsync/gogit"
	"github.com/pawl-dev/pawl/gitsync/webhook"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/promote/github"
	"github.com/pawl-dev/pawl/promote/registry"
	sealedrender "github.com/pawl-dev/pawl/render/sealed"
)

// wired is an agent with its edges, for one term of leading.
type wired struct {
	agent    *agent.Agent
	public   http.Handler
	internal http.Handler
	clusters []*cluster.Cluster
	builder  *sealedrender.Pool
	policies regoPolicies
	// fence lets nothing through to clusters and GitHub until it is opened.
	fence *lease.Fence
	once  sync.Once // of close
}

// close ends what the edges do on their own.
func (w *wired) close() {
	w.once.Do(func() {
		for _, c := range w.clusters {
			c.Close()
		}
		if w.builder != nil {
			_ = w.builder.Close()
		}
		w.policies.close()
	})
}

// wire builds the edges in the order of the flow, and the agent on them.
// Nothing is sent yet.
func wire(config agent.Config, identity string, leadership func() agent.Leadership, log zerolog.Logger) (_ *wired, err error) {
	w := &wired{fence: &lease.Fence{}, policies: newRegoPolicies()}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	metrics := prometheus.NewRegistry()

	client, err := registries(config)
	if err != nil {
		return nil, err
	}
	demanded := baselineOptions(config, w.policies)
	demanded.Log = log
	baselines := config.Baselines(demanded)
	if _, err := baselines.Get(); err != nil { // what is wrong from the start stops the start
		return nil, fmt.Errorf("the agent's configuration: %w", err)
	}
	w.builder = sealedrender.New(sealed.Options{})
	rendering := renderOptions(config, w.builder)
	forge, err := forge(config, w.fence, metrics, log)
	if err != nil {
		return nil, err
	}
	source, err := source(config, forge)
	if err != nil {
		return nil, err
	}

	edges := agent.Edges{
		Source: source, Evidence: cosign.New(client, cosign.Options{}), Tags: registry.New(client), Policies: w.policies,
		Clusters: map[string]agent.Cluster{}, Forge: forge,
	}
	// Clusters tell what they see before there is an agent to tell it to: they
	// see nothing until something is applied.
	notify := func(n drift.Notice) { w.agent.Notice(n) }
	byAddress := map[string]*cluster.Cluster{}
	for _, e := range config.Environments {
		at := address(e)
		if byAddress[at] == nil {
			if byAddress[at], err = connect(e, config, identity, w.fence, notify, log); err != nil {
				return nil, err
			}
			w.clusters = append(w.clusters, byAddress[at])
		}
		edges.Clusters[e.Name] = byAddress[at]
	}
	w.agent = agent.New(edges, agent.Options{
		Branch: config.Repository.Branch, Baseline: baselines.Get, Render: rendering, Log: log,
		Leadership: leadership, Retries: config.Retries,
		Warm: func(ctx context.Context) { // what fails here fails again where it is needed, and is told then
			_, _ = w.builder.Warm(ctx, rendering.Limits), w.policies.pool.Warm(ctx)
		},
		Poll: time.Duration(config.Repository.Poll), TagPoll: time.Duration(config.Tags.Poll),
	})
	var hooks http.Handler
	if config.GitHub.Webhook != nil {
		hooks, err = webhook.New(webhook.Options{
			Repository: config.Repository.Name, Branch: config.Repository.Branch, App: appID(config),
			Secret: func() (string, error) {
				secret, err := config.GitHub.Webhook.Secret.Read()
				return secret.Reveal(), err
			},
			Notify: w.agent.Event,
		})
		if err != nil {
			return nil, fmt.Errorf("github.webhook: %w", err)
		}
	}
	w.public, w.internal = w.agent.Public(hooks), w.agent.Internal(metrics)
	return w, nil
}

// baselineOptions are what the configuration's demands are read with.
func baselineOptions(config agent.Config, policies regoPolicies) demands.Options {
	return demands.Options{Policies: policies, Secret: secrets(config), CheckRoot: cosign.CheckRoot}
}

// appID is the agent's own App, 0 if it has none.
func appID(config agent.Config) int64 {
	if config.GitHub.App == nil {
		return 0
	}
	return config.GitHub.App.ID
}

// source reads the config repo with git.
func source(config agent.Config, forge *github.Forge) (*gogit.Mirror, error) {
	options := gogit.Options{URL: config.Repository.URL, Branch: config.Repository.Branch, Credentials: forge.GitCredentials}
	if g := config.Git; g != nil {
		options.Credentials = func(context.Context) (string, string, error) {
			password, err := g.Password.Read()
			return g.Username, password.Reveal(), err
		}
	}
	if file := config.Repository.CA; file != "" {
		var err error
		if options.CABundle, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("repository.ca: %w", err)
		}
	}
	return gogit.New(options)
}

// forge speaks with GitHub, as a token's owner or as an App.
func forge(config agent.Config, fence *lease.Fence, metrics *prometheus.Registry, log zerolog.Logger) (*github.Forge, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pawl_github_requests_total", Help: "Requests to GitHub, by method, status (0: no answer) and whether it cost quota.",
	}, []string{"method", "status", "cached"})
	remaining := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pawl_github_rate_limit_remaining", Help: "What is left of GitHub's hourly quota, by its last answer.",
	})
	metrics.MustRegister(requests, remaining)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = fence.DialContext
	options := github.Options{
		URL: config.GitHub.API, Repository: config.Repository.Name, Log: log, Transport: fence.Transport(transport),
		Observe: func(e github.Exchange) {
			requests.WithLabelValues(e.Method, strconv.Itoa(e.Status), strconv.FormatBool(e.Cached)).Inc()
			if e.Remaining >= 0 {
				remaining.Set(float64(e.Remaining))
			}
		},
	}
	if app := config.GitHub.App; app != nil {
		key, err := app.Key.Read()
		if err != nil {
			return nil, fmt.Errorf("github.app.key: %w", err)
		}
		options.App = &github.App{ID: app.ID, Installation: app.Installation, PrivateKey: []byte(key.Reveal())}
	} else {
		options.Token = func(context.Context) (string, error) {
			token, err := config.GitHub.Token.Read()
			return token.Reveal(), err
		}
	}
	return github.New(options)
}

// connect makes the edge to the cluster of an environment. Without a fence, as
// for a person's command, it does not matter who leads.
func connect(e agent.EnvironmentConfig, config agent.Config, identity string, fence *lease.Fence, notify func(drift.Notice), log zerolog.Logger) (*cluster.Cluster, error) {
	access, err := clusterAccess(e)
	if err != nil {
		return nil, fmt.Errorf("environment %s: %w", e.Name, err)
	}
	access.UserAgent = userAgent(identity)
	if fence != nil {
		access.Wrap(fence.Transport)
		access.Dial = fence.DialContext
	}
	of := map[string]cluster.Access{}
	for _, e := range config.Environments {
		of[e.Name] = cluster.Access{
			Reach:          drift.Reach{Namespaces: e.Namespaces, Allow: e.Kinds.Allow, Deny: e.Kinds.Deny, Cluster: e.Kinds.Cluster},
			ServiceAccount: e.ServiceAccount,
		}
	}
	return cluster.New(cluster.Options{Config: access, Namespace: config.Namespace, Owner: config.Repository.Name, Environments: of, PodLogs: config.Health.PodLogs, Notify: notify, Log: log})
}

// userAgent is who the API server's audit log names: all replicas have one
// account.
func userAgent(identity string) string {
	if identity == "" {
		return "pawl/" + version
	}
	return "pawl/" + version + " (" + identity + ")"
}

// clusterAccess is how an environment's API server is reached: by a
// kubeconfig, else from within its cluster.
func clusterAccess(e agent.EnvironmentConfig) (*rest.Config, error) {
	if e.Kubeconfig == "" {
		access, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("no kubeconfig is named, and this is no pod in a cluster: %w", err)
		}
		return access, nil
	}
	access, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: e.Kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: e.Context},
	).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", e.Kubeconfig, err)
	}
	if access.ExecProvider != nil || access.AuthProvider != nil {
		return nil, fmt.Errorf("kubeconfig %s runs a program to sign in, which the agent does not do; give it a token or certificate", e.Kubeconfig)
	}
	return access, nil
}
