// Package demo shows the whole loop on this machine: real servers, two
// applications in three environments, and an agent as a process of its own.
// Every line that it prints was seen to happen; what did not happen fails it.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/internal/testworld"
)

// Options of a demo.
type Options struct {
	Out io.Writer
	// Live says that Out is a terminal, on which lines may be rewritten.
	Live bool
	// Once ends the demo after its last step.
	Once bool
	// Kubeconfig names a cluster to use; an own one is started if empty.
	Kubeconfig string
	// Table writes a status for people.
	Table func(io.Writer, agent.Status)
	// Pawl is the path of the pawl binary, which is run as the agent.
	Pawl string
}

// Run shows the demo. Its error is that of the step that failed.
func Run(ctx context.Context, o Options) (err error) {
	folder, err := os.MkdirTemp("", "pawl-demo-")
	if err != nil {
		return err
	}
	s := &show{screen: screen{out: o.Out, live: o.Live, now: time.Now}, options: o, folder: folder}
	defer func() {
		err = errors.Join(err, s.close())
	}()
	s.screen.title("pawl demo  ·  a cluster, a git server, a registry and a GitHub stand-in, all on this machine")
	if err := s.prepare(ctx); err != nil {
		return err
	}
	// A story without an agent is not waited for.
	person := ctx
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	go func() {
		select {
		case <-s.agent.Ended:
			giveUp()
		case <-ctx.Done():
		}
	}()
	for i, chapter := range []func(context.Context, int) error{
		s.buildLands, s.promotionToStaging, s.productionWaits, s.unsignedIsRefused, s.handEditIsPutBack, s.badManifestIsRefused,
	} {
		if err := chapter(ctx, i+1); err != nil {
			return s.withLog(err)
		}
	}
	if err := s.table(ctx); err != nil {
		return err
	}
	if o.Once {
		return nil
	}
	s.invite()
	<-ctx.Done()
	// Ctrl-C in a terminal reaches the agent, too, and is no failure.
	if person.Err() == nil {
		return s.withLog(errors.New("the agent ended by itself"))
	}
	return nil
}

// show is one run of the demo.
type show struct {
	screen  screen
	options Options
	folder  string

	world *testworld.World
	shop  *testworld.Shop
	agent *testworld.Process
	made  []string // namespaces, to be removed from a cluster that is not ours

	web, api string // the digests that travel
}

// close ends everything that the demo started, in the reverse order.
func (s *show) close() error {
	// The demo's own context is over by now.
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var problems []error
	if s.agent != nil {
		problems = append(problems, s.agent.Stop(ctx))
	}
	if s.world != nil {
		problems = append(problems, s.giveBack(ctx), s.world.Stop(ctx))
	}
	return errors.Join(append(problems, os.RemoveAll(s.folder))...)
}

const closeTimeout = 30 * time.Second

// withLog shows the end of the agent's log, where the cause of a failure is.
func (s *show) withLog(err error) error {
	if s.agent != nil {
		s.screen.note("The last words of the agent:")
		s.screen.note(s.agent.Tail(20))
	}
	return err
}

// invite says what to try while everything still runs.
func (s *show) invite() {
	page := s.world.GitHub.URL() + "/" + s.shop.Repository.Name
	fmt.Fprintf(s.options.Out, `
Still running. Try:
  export KUBECONFIG=%s
  kubectl -n web-production get all
  kubectl -n web-production scale deployment web --replicas=9     and look again
  git clone %s          user ada, password %s
  pawl status --agent http://%s
Follow it at %s
The agent's log is %s
Ctrl-C stops and removes everything.
`, s.world.ControlPlane.Kubeconfig, s.shop.Repository.URL(), s.shop.Person, s.shop.Internal, page, s.agent.Log)
}
