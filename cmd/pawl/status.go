package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show environments × applications: digest, age and health, from a running agent",
		Long: `Asks a running agent at its internal address. In a cluster:

  kubectl -n pawl-system port-forward deploy/pawl 8081 &
  pawl status`,
		Args: noArguments,
	}
	address := cmd.Flags().String("agent", "http://127.0.0.1:8081", "the agent's internal address")
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := fetchStatus(cmd.Context(), *address)
		if err != nil {
			return err
		}
		if *output == "json" {
			return writeJSON(cmd.OutOrStdout(), status)
		}
		writeStatus(cmd.OutOrStdout(), status, time.Now())
		return nil
	}
	return cmd
}

// Bounds of the wait for an agent's answer, which may be no agent's.
const (
	statusTimeout = 10 * time.Second
	statusBytes   = 64 << 20
)

func fetchStatus(ctx context.Context, address string) (agent.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	where := strings.TrimSuffix(address, "/") + "/status"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return agent.Status{}, fmt.Errorf("ask the agent at %s: %w", address, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return agent.Status{}, fmt.Errorf("ask the agent at %s: %w; is it running, and is its internal port forwarded?", where, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return agent.Status{}, fmt.Errorf("ask the agent at %s: it answered %s; name its internal address with --agent", where, response.Status)
	}
	var status agent.Status
	if err := json.NewDecoder(http.MaxBytesReader(nil, response.Body, statusBytes)).Decode(&status); err != nil {
		return agent.Status{}, fmt.Errorf("ask the agent at %s: what answers there is no agent: %w", where, err)
	}
	return status, nil
}
