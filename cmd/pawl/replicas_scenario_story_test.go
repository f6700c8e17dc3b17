package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// pair is two replicas of one agent, each with a way of its own to the API
// server that can be cut.
type pair struct {
	*chaos
	both    [2]*story
	proxies [2]*testworld.Proxy
	since   controlplane.Marker
}

func newPair(c *chaos) *pair {
	c.t.Helper()
	p := &pair{chaos: c, since: c.since}
	for i := range p.both {
		p.both[i] = c.replica()
		access, err := c.World.ControlPlane.RESTConfig()
		if err != nil {
			c.t.Fatal(err)
		}
		server, err := url.Parse(access.Host)
		if err != nil {
			c.t.Fatal(err)
		}
		if p.proxies[i], err = testworld.StartProxy(context.Background(), server.Host); err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { _ = p.proxies[i].Close() })
		p.both[i].through(p.proxies[i].Addr())
	}
	return p
}

// through leads the replica to the API server by way of an address.
func (s *story) through(address string) {
	s.t.Helper()
	s.configure(func(config map[string]any) {
		for _, e := range config["environments"].([]any) {
			environment := e.(map[string]any)
			from := environment["kubeconfig"].(string)
			kubeconfig, err := clientcmd.LoadFromFile(from)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, cluster := range kubeconfig.Clusters {
				cluster.Server = "https://" + address
			}
			environment["kubeconfig"] = s.Folder + "/kubeconfig"
			if err := clientcmd.WriteToFile(*kubeconfig, s.Folder+"/kubeconfig"); err != nil {
				s.t.Fatal(err)
			}
		}
	})
}

// leader waits until one of the replicas works, other than not, and returns it
// and the other one.
func (p *pair) leader(not int) (leads, other int) {
	p.t.Helper()
	leads = -1
	p.until("a replica to work", func(ctx context.Context) (bool, string, error) {
		for i, s := range p.both {
			if i == not {
				continue
			}
			brief, cancel := context.WithTimeout(ctx, time.Second)
			status, err := s.Status(brief)
			cancel()
			if err == nil && !status.Leadership.Standby {
				leads = i
				return true, "", nil
			}
		}
		return false, "both stand by", nil
	})
	return leads, 1 - leads
}

// oneWorks waits until both answer, and one of them stands by. On a slow machine
// that need not be the one that had to.
func (p *pair) oneWorks() {
	p.t.Helper()
	p.until("one replica to work, and one to stand by", func(ctx context.Context) (bool, string, error) {
		working := 0
		for _, s := range p.both {
			brief, cancel := context.WithTimeout(ctx, time.Second)
			status, err := s.Status(brief)
			cancel()
			if err != nil {
				return false, err.Error(), nil
			}
			if !status.Leadership.Standby {
				working++
			}
		}
		return working == 1, fmt.Sprintf("%d work", working), nil
	})
}

// oneWriter goes through the audit log: whatever a replica wrote arrived while
// it was the last one that had taken the Lease.
func (p *pair) oneWriter() {
	p.t.Helper()
	events, err := p.World.ControlPlane.Audit().Since(p.since)
	if err != nil {
		p.t.Fatal(err)
	}
	// The Lease's history, by when each holder's first write of it was answered.
	type turn struct {
		at     time.Time
		holder string
	}
	var turns []turn
	writes := 0
	replica := func(e controlplane.Event) string {
		_, name, _ := strings.Cut(e.UserAgent, "(")
		return strings.TrimSuffix(name, ")")
	}
	ours := func(holder string) bool {
		for _, s := range p.both {
			if strings.Contains(holder, s.Public) {
				return true
			}
		}
		return false
	}
	for _, e := range events.Writes(testworld.AgentUser) {
		if !ours(replica(e)) || e.Code >= 300 || e.Resource != "leases" {
			continue
		}
		var sent struct {
			Spec struct{ HolderIdentity string }
		}
		if err := json.Unmarshal(e.RequestObject, &sent); err != nil {
			p.t.Fatal(err)
		}
		if h := sent.Spec.HolderIdentity; h != "" && (len(turns) == 0 || turns[len(turns)-1].holder != h) {
			turns = append(turns, turn{e.Time, h})
		}
	}
	for _, e := range events.Writes(testworld.AgentUser) {
		if !ours(replica(e)) || e.Resource == "leases" {
			continue
		}
		writes++
		holder := ""
		for _, t := range turns {
			if !t.at.After(e.Received) {
				holder = t.holder
			}
		}
		if holder != replica(e) {
			p.t.Errorf("arrived at %s, when %s had the Lease: %s", e.Received.Format("15:04:05.000"), holder, e)
		}
	}
	if writes == 0 || len(turns) < 2 {
		p.t.Errorf("%d writes and %d turns are none to judge by", writes, len(turns))
	}
	p.t.Logf("%d turns, %d writes", len(turns), writes)
}

// unseat takes the work away from the replica that leads, in one of the ways in
// which that happens, in the middle of an apply or not. settle ends it.
func (p *pair) unseat(way, i int) (settle func()) {
	p.t.Helper()
	must := func(err error) {
		p.t.Helper()
		if err != nil {
			p.t.Fatal(err)
		}
	}
	s := p.both[i]
	switch way {
	case 0: // frozen
		must(s.agent.Freeze())
		return func() { must(s.agent.Thaw()) }
	case 1: // cut off
		p.proxies[i].Cut()
		return p.proxies[i].Heal
	case 2:
		must(s.agent.Kill())
		return func() { s.start() }
	default:
		must(s.agent.Stop(p.t.Context()))
		return func() { s.start() }
	}
}

// catalogue 108, 111, 116
func TestScenarioOfReplicas(t *testing.T) {
	s := tell(t, testworld.ShopOptions{Environments: []string{"dev", "staging"}})
	draw, rounds := scenario(t, 2)
	p := newPair(newChaos(s, draw))
	commit := p.next("first")
	p.both[0].start()
	p.both[1].start()
	p.green(commit, "dev")
	p.green(commit, "staging")
	p.plant("dev", "map-foreign")
	for round := range rounds {
		leads, _ := p.leader(-1)
		p.next("in the middle")
		p.pause()
		settle := p.unseat(round%4, leads)
		// The other one takes over, and goes on with what is new.
		p.leader(leads)
		p.byHand()
		commit := p.next("after a change of turn")
		p.green(commit, "dev")
		p.green(commit, "staging")
		settle()
		p.oneWorks()
		p.equal()
		if draw.IntN(2) == 0 {
			p.deleteLease()
		}
	}
	commit = p.next("last")
	p.green(commit, "dev")
	p.green(commit, "staging")
	p.equal()
	p.oneWriter()
	p.judge()
	p.oneEach(p.commits, "dev", "staging")
}

// deleteLease deletes the replicas' Lease.
func (p *pair) deleteLease() {
	p.t.Helper()
	leases := p.cluster.CoordinationV1().Leases("pawl-system")
	list, err := leases.List(p.t.Context(), metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, l := range list.Items {
		holder := l.Spec.HolderIdentity
		if holder != nil && (strings.Contains(*holder, p.both[0].Public) || strings.Contains(*holder, p.both[1].Public)) {
			if err := leases.Delete(p.t.Context(), l.Name, metav1.DeleteOptions{}); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}
