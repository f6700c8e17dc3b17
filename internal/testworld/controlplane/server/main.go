// Command server is a Kubernetes control plane in one process: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler and simulated nodes,
// each of them upstream's own code except for the nodes. It exists for tests
// and the demo, and lives in a module of its own so that Kubernetes'
// dependencies never reach the agent's go.mod.
//
// Everything is kept in one data folder. Starting again on the same folder,
// after a clean stop or a kill, continues where it ended.
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
	"path/filepath"
	"syscall"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/controlplane/server/pki"
)

// stopWithin bounds a clean stop. Open watches can hold the API server for
// ten seconds and more, and nothing is lost by not waiting for them: etcd's
// write-ahead log is already with the operating system.
const stopWithin = 3 * time.Second

// settings are the command line.
type settings struct {
	dataDir     string
	port        int
	nodes       int
	readyFile   string
	exitWithIn  bool
	removeAfter bool
}

// ready is the line on stdout, and the ready file, that says all of it works.
type ready struct {
	APIServer  string `json:"apiServer"`
	Kubeconfig string `json:"kubeconfig"`
	AuditLog   string `json:"auditLog"`
	PID        int    `json:"pid"`
}

func main() {
	var s settings
	flag.StringVar(&s.dataDir, "data-dir", "", "folder for everything that is kept (required)")
	flag.IntVar(&s.port, "port", 0, "API server port on 127.0.0.1; 0 takes a free one")
	flag.IntVar(&s.nodes, "nodes", 3, "how many nodes are simulated")
	flag.StringVar(&s.readyFile, "ready-file", "", "also write the ready line to this file")
	flag.BoolVar(&s.exitWithIn, "exit-with-stdin", false, "exit at once when stdin is closed, which is how a parent's death shows")
	flag.BoolVar(&s.removeAfter, "remove-with-parent", false, "with --exit-with-stdin: remove the data folder on that exit")
	flag.Parse()
	if s.dataDir == "" {
		fmt.Fprintln(os.Stderr, "server: --data-dir is required: a folder for etcd, certificates, kubeconfig and the audit log")
		os.Exit(2)
	}
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(s settings) error {
	if s.exitWithIn {
		// The parent decides; a Ctrl-C in the terminal reaches both.
		signal.Ignore(os.Interrupt)
		go exitWithStdin(s)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM)
	if !s.exitWithIn {
		signal.Notify(signals, os.Interrupt)
	}

	dataDir, err := filepath.Abs(s.dataDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return err
	}
	certificates, err := pki.Ensure(filepath.Join(dataDir, "pki"))
	if err != nil {
		return err
	}
	cluster, err := start(s, dataDir, certificates)
	if err != nil {
		return err
	}
	readied := make(chan error, 1)
	waiting, stopWaiting := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stopWaiting()
	go func() { readied <- cluster.waitReady(waiting) }()

	for {
		select {
		case err := <-readied:
			if err != nil {
				return err
			}
			if err := announce(s, ready{
				APIServer:  cluster.url,
				Kubeconfig: cluster.adminKubeconfig,
				AuditLog:   cluster.auditLog,
				PID:        os.Getpid(),
			}); err != nil {
				return err
			}
			readied = nil
		case err := <-cluster.failed:
			return err
		case <-signals:
			stopped := make(chan struct{})
			go func() { defer close(stopped); cluster.stop() }()
			select {
			case <-stopped:
			case <-signals:
			case <-time.After(stopWithin):
			}
			return nil
		}
	}
}

// announce tells the parent. The file appears whole or not at all.
func announce(s settings, r ready) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if s.readyFile != "" {
		part := s.readyFile + ".part"
		if err := os.WriteFile(part, line, 0o600); err != nil {
			return err
		}
		if err := os.Rename(part, s.readyFile); err != nil {
			return err
		}
	}
	if _, err := os.Stdout.Write(line); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return nil
}

// exitWithStdin ends the process as soon as the parent is gone, however it
// went: the kernel closes its end of the pipe even after kill -9.
func exitWithStdin(s settings) {
	_, _ = io.Copy(io.Discard, os.Stdin)
	// etcd is still at work and may add a file to a folder that is being removed.
	for tries := 3; s.removeAfter && tries > 0 && os.RemoveAll(s.dataDir) != nil; tries-- {
	}
	os.Exit(0)
}
