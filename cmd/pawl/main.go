// Command pawl is the GitOps agent and the commands that people run beside it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies/rego"
	sealedrender "github.com/pawl-dev/pawl/render/sealed"
)

// version is set by the linker: -X main.version=….
var version = "unknown"

func main() {
	sealed.Main(sealedrender.Worker, rego.Worker) // does not return where this process is a sealed child
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
