package main

import (
	"context"
	"io"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// Helper and Cleanup make a scene what a control plane takes for a test.
func (s *scene) Helper()          {}
func (s *scene) Cleanup(f func()) { s.Defer(f) }

// cluster gives a script two namespaces on the control plane that the tests
// share: $OWN for the agent, $NAMESPACE for what it applies. $KUBECONFIG is
// how to get there.
func (s *scene) cluster(args []string) {
	s.want(len(args) == 0, "cluster")
	plane := controlplane.Shared(s)
	s.Setenv("KUBECONFIG", plane.Kubeconfig)
	s.Setenv("OWN", plane.Namespace(s))
	s.Setenv("NAMESPACE", plane.Namespace(s))
}

// deploy TARGET does once, in the script's folder, what an agent with the
// configuration $PAWL_CONFIG would do. Paths in it are absolute.
func (s *scene) deploy(args []string) {
	s.want(len(args) == 1, "deploy TARGET")
	ctx := context.Background()
	c, err := openCheckout(s.MkAbs("."))
	s.Check(err)
	t, err := c.target(args[0])
	s.Check(err)
	config, err := loadConfig(s.MkAbs(s.Getenv("PAWL_CONFIG")))
	s.Check(err)
	subject := &subject{c, t, config}
	found, err := subject.examine(ctx, progress{})
	s.Check(err)
	verified, err := found.judge()
	s.Check(err)
	owned, err := subject.environment()
	s.Check(err)
	cluster, err := connect(owned, config, "", nil, nil, logger(config, io.Discard))
	s.Check(err)
	defer cluster.Close()
	environment, _ := c.Pipeline.Environment(t.Environment)
	_, err = cluster.Apply(ctx, verified, drift.Terms{Environment: environment})
	s.Check(err)
}
