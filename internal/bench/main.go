// Command bench measures Pawl on this machine, as a process of its own beside
// the real servers, and prints a table. Nothing is asserted: `make bench` runs
// it, people read it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/policies/rego"
	sealedrender "github.com/pawl-dev/pawl/render/sealed"
)

func main() {
	sealed.Main(sealedrender.Worker, rego.Worker) // does not return where this process is a sealed child
	var o options
	flag.StringVar(&o.pawl, "pawl", "bin/pawl", "the pawl binary")
	flag.StringVar(&o.only, "only", "", "measure only these groups: "+strings.Join(names(), ", ")+"; several with commas between them")
	flag.StringVar(&o.output, "o", "table", "table or json")
	flag.IntVar(&o.targets, "targets", 1000, "how many targets the group fleet has")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	pawl, only, output string
	targets            int
}

// group is a set of figures that are measured together.
type group struct {
	name    string
	measure func(context.Context, *bench) ([]row, error)
}

// parts are measured in this process, without the servers, and agents from
// outside, each with servers of its own: no group pays for what another left.
var (
	parts  = []group{{"verify", measureVerification}, {"render", measureRendering}, {"policies", measurePolicies}}
	agents = []group{
		{"deploy", measureDeploys}, {"poll", measurePolling}, {"drift", measureDrift}, {"first", measureFirstSync},
		{"steady", measureSteadyState}, {"health", measureHealth}, {"fleet", measureFleet},
	}
)

func names() (all []string) {
	for _, g := range slices.Concat(parts, agents) {
		all = append(all, g.name)
	}
	return all
}

// bench is what a group measures with; parts have nothing of it but options.
type bench struct {
	options
	world  *testworld.World
	folder string
	name   string
	begun  time.Time
}

func run(ctx context.Context, o options) error {
	if o.output != "table" && o.output != "json" {
		return fmt.Errorf("-o %s: it is table or json", o.output)
	}
	chosen := names()
	if o.only != "" {
		chosen = strings.Split(o.only, ",")
	}
	for _, name := range chosen {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("--only %s: there is no such group; there are %s", name, strings.Join(names(), ", "))
		}
	}
	rows, err := o.measure(ctx, chosen)
	// What was measured before a failure is shown with it.
	switch {
	case len(rows) == 0:
	case o.output == "json":
		err = errors.Join(err, json.NewEncoder(os.Stdout).Encode(map[string]any{"machine": machine(), "rows": rows}))
	default:
		err = errors.Join(err, table(os.Stdout, rows))
	}
	return err
}

func (o options) measure(ctx context.Context, chosen []string) (rows []row, err error) {
	for _, g := range parts {
		if slices.Contains(chosen, g.name) {
			more, err := g.take(ctx, &bench{options: o})
			rows = append(rows, more...)
			if err != nil {
				return rows, err
			}
		}
	}
	for _, g := range agents {
		if !slices.Contains(chosen, g.name) {
			continue
		}
		err := testworld.Visit(ctx, func(world *testworld.World, folder string) error {
			more, err := g.take(ctx, &bench{options: o, world: world, folder: folder})
			rows = append(rows, more...)
			return err
		})
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func table(out io.Writer, rows []row) error {
	fmt.Fprintf(out, "%s; agent and servers on the same machine\n\n", machine())
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tp50\tp99\tn\treach\t")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", r.What, r.P50, r.P99, r.N, r.Reach, r.Met)
	}
	return t.Flush()
}

// take measures a group; what was measured before a failure is kept.
func (g group) take(ctx context.Context, b *bench) ([]row, error) {
	b.name, b.begun = g.name, time.Now()
	b.progress("begins")
	rows, err := g.measure(ctx, b)
	if err != nil {
		return rows, fmt.Errorf("%s: %w", g.name, err)
	}
	return rows, nil
}

// progress says on standard error what is being measured now.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s, %4.0f s: %s\n", b.name, time.Since(b.begun).Seconds(), fmt.Sprintf(format, args...))
}
