package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
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
		Args: cobra.NoArgs,
	}
	address := cmd.Flags().String("agent", "http://127.0.0.1:8081", "the agent's internal address")
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := fetchStatus(cmd.Context(), *address)
		if err != nil {
			return err
		}
		if *output == "json" {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(status)
		}
		writeStatus(cmd.OutOrStdout(), status, time.Now())
		return nil
	}
	return cmd
}

// statusTimeout bounds the wait for an agent's answer.
const statusTimeout = 10 * time.Second

func fetchStatus(ctx context.Context, address string) (agent.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	url := strings.TrimSuffix(address, "/") + "/status"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return agent.Status{}, fmt.Errorf("ask the agent at %s: %w", address, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return agent.Status{}, fmt.Errorf("ask the agent: %w; is it running, and is its internal port forwarded?", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return agent.Status{}, fmt.Errorf("ask the agent: %s answered %s; name its internal address with --agent", url, response.Status)
	}
	var status agent.Status
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
		return agent.Status{}, fmt.Errorf("read the agent's status from %s: %w", url, err)
	}
	return status, nil
}

// writeStatus prints the table for people.
func writeStatus(w io.Writer, status agent.Status, now time.Time) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "application\tenvironment\timages\tsince\thealth\tnotes")
	for _, e := range status.Environments {
		if e.Problem != nil {
			fmt.Fprintf(table, "—\t%s\t\t\t✗ %s\t%s\n", e.Name, e.State, firstLine(e.Problem.Text))
		}
		for _, t := range e.Targets {
			since := ""
			if at, err := time.Parse(time.RFC3339, t.Since); err == nil {
				since = age(now.Sub(at))
			}
			notes := ""
			if t.Problem != nil {
				notes = t.Problem.Reason + ": " + firstLine(t.Problem.Text)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s %s\t%s\n", orDash(t.Application), e.Name, strings.Join(shortImages(t.Images), " "), since, mark(t.Stage), t.Stage, notes)
		}
	}
	table.Flush()
}

// mark is a stage at a glance.
func mark(stage string) string {
	switch stage {
	case "healthy":
		return "●"
	case "failed":
		return "✗"
	case "retrying":
		return "!"
	default:
		return "◐"
	}
}

// shortImages shortens "ghcr.io/acme/web@sha256:3f1c…" to "web@3f1c1a2b".
func shortImages(images []string) []string {
	short := make([]string, 0, len(images))
	for _, image := range images {
		repository, digest, _ := strings.Cut(image, "@sha256:")
		if len(digest) > 8 {
			digest = digest[:8]
		}
		short = append(short, repository[strings.LastIndex(repository, "/")+1:]+"@"+digest)
	}
	return short
}

// age is a duration as people say it: "9 d", "2 h", "40 s".
func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d m", d/time.Minute)
	default:
		return fmt.Sprintf("%d s", d/time.Second)
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func orDash(s string) string {
	if s == "" {
		return "—"
	}
	return s
}
