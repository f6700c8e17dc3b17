package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/go-logr/zerologr"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/pawl-dev/pawl/agent"
)

func agentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent",
		Long: `Follows the config repo and keeps the environments that the configuration
names as the repo says, until it is stopped. The log is JSON on standard
output, one line for each thing that happened.`,
		Args: cobra.NoArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := loadConfig(*file)
		if err != nil {
			return err
		}
		return runAgent(cmd.Context(), config, cmd.OutOrStdout())
	}
	return cmd
}

// Bounds of a request to the agent's own addresses, against slow senders.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	drainTimeout  = 5 * time.Second
)

// runAgent runs until ctx ends, and returns when all that it started has ended.
func runAgent(ctx context.Context, config agent.Config, out io.Writer) error {
	log := logger(config, out)
	// What lives in the heap is mostly what is known of the targets and stays as
	// it is: room for half as much garbage costs little, and Go's default twice
	// the memory. The variable GOGC says otherwise.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	// The Kubernetes client libraries log by a global of their own.
	libraries := log.With().Str("library", "kubernetes").Logger()
	klog.SetLogger(zerologr.New(&libraries))
	public, err := net.Listen("tcp", config.HTTP.Public)
	if err != nil {
		return fmt.Errorf("http.public: %w", err)
	}
	defer public.Close()
	internal, err := net.Listen("tcp", config.HTTP.Internal)
	if err != nil {
		return fmt.Errorf("http.internal: %w", err)
	}
	defer internal.Close()

	r, err := newReplica(config, public.Addr(), log)
	if err != nil {
		return err
	}
	defer r.close()

	guards, err := r.wired.Load().builder.Guards(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("start a process that renders: %w", err)
	case len(guards.Missing) > 0:
		log.Warn().Str("guards", guards.String()).Strs("missing", guards.Missing).Msg("rendering is sealed less than it could be on this kernel")
	default:
		log.Info().Str("guards", guards.String()).Msg("rendering is sealed")
	}

	// HTTP is served until the work has ended: whoever listens at the public
	// address is the replica of that identity, see identity.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	g, working := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer stop()
		return r.run(working)
	})
	g.Go(func() error {
		returnMemory(working)
		return nil
	})
	g.Go(func() error { return serve(serving, public, http.HandlerFunc(r.public)) })
	g.Go(func() error { return serve(serving, internal, http.HandlerFunc(r.internal)) })
	log.Info().Str("version", version).Str("repository", config.Repository.Name).Str("public", public.Addr().String()).Str("replica", r.identity).Msg("agent running")
	err = g.Wait()
	log.Info().Msg("agent stopped")
	return err
}

// serve answers until ctx ends, and then lets what is under way finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: bodyTimeout, IdleTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close() // who is that slow is not waited for
	}
	return err
}

func logger(config agent.Config, out io.Writer) zerolog.Logger {
	if config.Log.Format == "console" {
		_, plain := os.LookupEnv("NO_COLOR")
		out = zerolog.ConsoleWriter{Out: out, NoColor: plain, TimeFormat: time.RFC3339}
	}
	level, err := zerolog.ParseLevel(config.Log.Level)
	if err != nil {
		level = zerolog.InfoLevel // the schema lets no other through
	}
	return zerolog.New(out).Level(level).Hook(stamp{})
}

// stamp puts the time on every line, in UTC and to the millisecond; zerolog's
// own is to the second unless a global is changed.
type stamp struct{}

func (stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
}
