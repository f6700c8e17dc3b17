package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
)

// answerTimeout is how long the agent may take to answer.
const answerTimeout = 2 * time.Minute

func rollbackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback TARGET",
		Short: "Return a target to a release that was good, or lift its hold",
		Long: `Asks the agent to return the target to the last good release before the present
one, or to that of a commit. The agent judges it by what is demanded today,
applies it, and holds the present one until the branch asks for another or the
hold is lifted. The check on the commit says so, with your name and reason.

It asks by annotating a Secret in the agent's namespace, so you need the right
to get and update that one (docs/reference.md); the cluster's audit log has who
did it. Make git agree: revert, or fix forward.

Exit code 1: the agent refuses, and everything is as before. 2: it could not be
asked, did not answer, or could not do it.`,
		Example:           "  pawl rollback production/web --reason latency --config agent.yaml\n  pawl rollback production/web --to 8d2e1a7 --reason latency --config agent.yaml\n  pawl rollback production/web --lift --reason latency --config agent.yaml",
		Args:              oneTarget,
		ValidArgsFunction: completeTargets,
	}
	open := subjectFlags(cmd)
	to := cmd.Flags().String("to", "", "the commit whose good release is to return, or its beginning (default: the last good one)")
	lift := cmd.Flags().Bool("lift", false, "end the hold, so that the commit's own release is applied again")
	reason := cmd.Flags().String("reason", "", "why; it is told in the check and the log")
	output := outputFlag(cmd, "text", "json")
	kubeconfig := cmd.Flags().String("kubeconfig", "", "your kubeconfig (default: the one that the configuration names)")
	kubeContext := cmd.Flags().String("context", "", "the context in it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case strings.TrimSpace(*reason) == "":
			return errors.New("say why, with --reason")
		case *lift && *to != "":
			return errors.New("--lift and --to exclude each other")
		case cmd.Flags().Changed("to") && !beginsCommit.MatchString(*to): // also an empty variable of a script
			return fmt.Errorf("--to %q is no commit: write it, or at least its first 4 of 40 hexadecimal digits", *to)
		}
		s, err := open(args[0])
		if err != nil {
			return err
		}
		e, err := s.environment()
		if err != nil {
			return err
		}
		if *kubeconfig != "" {
			e.Kubeconfig, e.Context = *kubeconfig, *kubeContext
		} else if *kubeContext != "" {
			e.Context = *kubeContext
		}
		answer, err := askRollback(cmd.Context(), s, e, drift.RollbackRequest{To: strings.ToLower(*to), Lift: *lift, Reason: *reason}, progressOn(cmd.ErrOrStderr()))
		switch {
		case errors.Is(err, cluster.ErrNoRollback):
			return answerNo{err}
		case err != nil:
			return err
		}
		result := rollbackAnswer{Target: s.target.String(), Result: rollbackDone, Text: answer}
		for _, bad := range []rollbackResult{rollbackRefused, rollbackFailed} {
			if text, is := strings.CutPrefix(answer, string(bad)+": "); is {
				result.Result, result.Text = bad, text
			}
		}
		if *output == "json" {
			if err := writeJSON(cmd.OutOrStdout(), result); err != nil {
				return err
			}
		}
		switch {
		case result.Result == rollbackRefused && *output == "json":
			return no
		case result.Result == rollbackRefused:
			return answerNo{errors.New(result.Text)}
		case result.Result == rollbackFailed:
			return fmt.Errorf("%s: the agent could not do it; ask again: %s", s.target, result.Text)
		}
		if *output == "text" {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", s.target, printable(answer))
		}
		return nil
	}
	return cmd
}

// beginsCommit is a commit, or as much of one as git takes for it.
var beginsCommit = regexp.MustCompile("^[0-9a-fA-F]{4,40}$")

// rollbackAnswer is what came of a request, for programs.
type rollbackAnswer struct {
	Target string         `json:"target"`
	Result rollbackResult `json:"result"`
	Text   string         `json:"text"`
}

type rollbackResult string

const (
	rollbackDone    rollbackResult = "done"
	rollbackRefused rollbackResult = "refused" // everything is as before
	rollbackFailed  rollbackResult = "failed"  // it may be possible later
)

func askRollback(ctx context.Context, s *subject, e agent.EnvironmentConfig, request drift.RollbackRequest, show progress) (string, error) {
	access, err := clusterAccess(e)
	if err != nil {
		return "", fmt.Errorf("environment %s: %w", e.Name, err)
	}
	access.UserAgent = "pawl-rollback/" + version
	if request.By, err = whoami(ctx, access); err != nil {
		return "", err
	}
	c, err := cluster.New(cluster.Options{Config: access, Namespace: s.config.Namespace, Owner: s.config.Repository.Name, Log: logger(s.config, io.Discard)})
	if err != nil {
		return "", err
	}
	defer c.Close()
	defer show.done()
	show.say("asked as %s; the agent judges the release and applies it, or says why not (up to %s)", request.By, answerTimeout)
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return c.AskRollback(ctx, s.target, request)
}

// whoami is who the API server takes the kubeconfig's user for.
func whoami(ctx context.Context, access *rest.Config) (string, error) {
	client, err := authentication.NewForConfig(access)
	if err != nil {
		return "", err
	}
	review, err := client.SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("ask the API server who you are: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}
