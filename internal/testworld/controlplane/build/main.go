// Command build builds the control plane, if that was not done yet, so that
// no test's time limit has to allow for it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	_, err := controlplane.Build(ctx, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the control plane:", err)
		os.Exit(1)
	}
}
