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

	"github.com/pawl-dev/pawl/internal/testworld"
)

func main() {
	pawl := flag.String("pawl", "bin/pawl", "the pawl binary")
	only := flag.String("only", "", "measure only the groups whose name holds this text")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := testworld.Visit(ctx, func(world *testworld.World, folder string) error { return run(ctx, world, folder, *pawl, *only) })
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// group is a set of figures that are measured on one shop.
type group struct {
	name    string
	measure func(context.Context, *bench) ([]row, error)
}

// bench is what a group measures with.
type bench struct {
	world  *testworld.World
	pawl   string
	folder string
	name   string
}

func run(ctx context.Context, world *testworld.World, folder, pawl, only string) error {
	var rows []row
	for _, g := range []group{{"deploy", measureDeploys}, {"poll", measurePolling}, {"drift", measureDrift}} {
		if !strings.Contains(g.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s…\n", g.name)
		measured, err := g.measure(ctx, &bench{world: world, pawl: pawl, folder: folder, name: g.name})
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		rows = append(rows, measured...)
	}
	fmt.Printf("%s; agent and servers on the same machine\n\n", machine())
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "what\tp50\tp99\tn\treach")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", r.what, r.p50, r.p99, r.n, r.reach)
	}
	return table.Flush()
}
