package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/lease"
)

// replica is this process among those that may run with the same
// configuration, of which one works.
type replica struct {
	config   agent.Config
	log      zerolog.Logger
	identity string
	election *lease.Election
	// wired is the agent that works, or the one that will: what was kept while
	// leading counts for nothing in a later term.
	wired atomic.Pointer[wired]
	hook  http.Handler // takes webhooks to the replica that works
}

func newReplica(config agent.Config, public net.Addr, log zerolog.Logger) (*replica, error) {
	r := &replica{config: config, log: log, identity: identity(public)}
	r.hook = forwarding(r.leader, log)
	// What is wrong with the configuration is told before its cluster is looked for.
	err := r.prepare()
	if err != nil {
		return nil, err
	}
	if r.election, err = newElection(config, r.identity, log); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// newElection is for the Lease in the agent's own cluster.
func newElection(config agent.Config, identity string, log zerolog.Logger) (*lease.Election, error) {
	access, err := ownCluster(config)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster with the agent's Lease: %w", err)
	}
	access.UserAgent = userAgent(identity)
	// A renewal that hangs leaves time for another.
	access.Timeout = max(time.Duration(config.Leadership.Renew)/2, time.Second)
	client, err := coordinationv1.NewForConfig(access)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster with the agent's Lease: %w", err)
	}
	return lease.New(lease.Options{
		Client: client, Namespace: config.Namespace, Name: leaseName(config), Identity: identity,
		Lease: time.Duration(config.Leadership.Lease), Renew: time.Duration(config.Leadership.Renew), Retry: time.Duration(config.Leadership.Retry),
		Log: log,
	})
}

// prepare makes the agent of the next term. What is wrong with the configuration
// shows here, and so at the start.
func (r *replica) prepare() error {
	w, err := wire(r.config, r.identity, r.leadership, r.log)
	if err == nil {
		r.wired.Store(w)
	}
	return err
}

func (r *replica) close() { r.wired.Load().close() }

// run works whenever this replica leads, until ctx ends.
func (r *replica) run(ctx context.Context) error {
	return r.election.Run(ctx, func(ctx context.Context, term *lease.Term) error {
		r.log.Info().Str("replica", r.identity).Msg("this replica works")
		w := r.wired.Load()
		w.fence.Open(term)
		err := w.agent.Run(ctx)
		w.close() // until here drift is put back
		var lost *lease.Lost
		if err != nil || !errors.As(context.Cause(ctx), &lost) {
			return err
		}
		return r.prepare()
	})
}

// leadership is what the agent tells of it.
func (r *replica) leadership() agent.Leadership {
	return agent.Leadership{Standby: !r.election.Leading(), Leader: r.election.Leader()}
}

func (r *replica) public(w http.ResponseWriter, request *http.Request) {
	if !r.election.Leading() && request.URL.Path == webhookPath && r.config.GitHub.Webhook != nil {
		r.hook.ServeHTTP(w, request)
		return
	}
	r.wired.Load().public.ServeHTTP(w, request)
}

func (r *replica) internal(w http.ResponseWriter, request *http.Request) {
	r.wired.Load().internal.ServeHTTP(w, request)
}

// leader is the address of the replica that works, if another does and told.
func (r *replica) leader() (address string, ok bool) {
	leader := r.election.Leader()
	if leader == r.identity {
		return "", false
	}
	parts := strings.Split(leader, identitySeparator)
	if len(parts) != 3 || parts[1] == "" {
		return "", false
	}
	return parts[1], true
}

// leaseName is that of the Lease of all replicas of an agent: of its
// repository, and of the environments that it owns. Agents that share a
// namespace and own others have another.
func leaseName(config agent.Config) string {
	var owned []string
	for _, e := range config.Environments {
		owned = append(owned, e.Name)
	}
	slices.Sort(owned)
	sum := sha256.Sum256([]byte(config.Repository.Name + "\n" + strings.Join(owned, "\n")))
	return leasePrefix + hex.EncodeToString(sum[:8])
}

const (
	// leasePrefix is what deploy's guard of the namespace lets the agent write.
	leasePrefix       = "pawl-leader-"
	identitySeparator = "_"
)

// identity names this process: its host, where its webhooks can be brought if
// that is known, and what no two processes that run at the same time share:
// one boot of one kernel, one network in it, one address that is listened at.
// Who is started anew in the same place is the same replica, and need not
// wait for a Lease that is its own.
func identity(public net.Addr) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	reach := ""
	if at, ok := public.(*net.TCPAddr); ok {
		switch ip := os.Getenv("POD_IP"); {
		case !at.IP.IsUnspecified():
			reach = at.String()
		case net.ParseIP(ip) != nil:
			reach = net.JoinHostPort(ip, fmt.Sprint(at.Port))
		}
	}
	place := []byte(public.String())
	boot, bootErr := os.ReadFile("/proc/sys/kernel/random/boot_id")
	network, networkErr := os.Readlink("/proc/self/ns/net")
	if bootErr != nil || networkErr != nil {
		place = fmt.Appendf(place, "%d %d", os.Getpid(), time.Now().UnixNano())
	}
	sum := sha256.Sum256(append(append(place, boot...), network...))
	return strings.Join([]string{strings.ReplaceAll(host, identitySeparator, "-"), reach, hex.EncodeToString(sum[:6])}, identitySeparator)
}
