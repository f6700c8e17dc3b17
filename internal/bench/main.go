// Command bench measures Pawl on this machine, as a process of its own beside
// the real servers, and prints a table. Nothing is asserted: `make bench` runs
// it, people read it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/internal/testworld"
	sealedrender "github.com/pawl-dev/pawl/render/sealed"
)

func main() {
	sealed.Main(sealedrender.Worker) // does not return where this process is a sealed child
	pawl := flag.String("pawl", "bin/pawl", "the pawl binary")
	only := flag.String("only", "", "measure only the groups whose name holds this text")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *pawl, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// group is a set of figures that are measured together.
type group struct {
	name    string
	measure func(context.Context, *bench) ([]row, error)
}

// parts are measured in this process, without the servers, and agents from
// outside, each on a shop of its own.
var (
	parts  = []group{{"verify", measureVerification}, {"render", measureRendering}, {"policies", measurePolicies}}
	agents = []group{{"deploy", measureDeploys}, {"poll", measurePolling}, {"drift", measureDrift}}
)

// bench is what a group measures with; parts have nothing of it.
type bench struct {
	world  *testworld.World
	pawl   string
	folder string
	name   string
}

func run(ctx context.Context, pawl, only string) error {
	rows, err := measure(ctx, chosen(parts, only), bench{})
	if err != nil {
		return err
	}
	if more := chosen(agents, only); len(more) > 0 {
		err = testworld.Visit(ctx, func(world *testworld.World, folder string) error {
			measured, err := measure(ctx, more, bench{world: world, pawl: pawl, folder: folder})
			rows = append(rows, measured...)
			return err
		})
		if err != nil {
			return err
		}
	}
	fmt.Printf("%s; agent and servers on the same machine\n\n", machine())
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "what\tp50\tp99\tn\treach\t")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", r.what, r.p50, r.p99, r.n, r.reach, r.met)
	}
	return table.Flush()
}

func chosen(groups []group, only string) (out []group) {
	for _, g := range groups {
		if strings.Contains(g.name, only) {
			out = append(out, g)
		}
	}
	return out
}

func measure(ctx context.Context, groups []group, b bench) (rows []row, err error) {
	for _, g := range groups {
		fmt.Fprintf(os.Stderr, "measuring %s…\n", g.name)
		b.name = g.name
		measured, err := g.measure(ctx, &b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		rows = append(rows, measured...)
	}
	return rows, nil
}
