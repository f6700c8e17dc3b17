package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/pawl-dev/pawl/deploy"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// prepare starts the servers and the agent.
func (s *show) prepare(ctx context.Context) error {
	if err := s.screen.step(ctx, "control plane, git, registry, GitHub", func(ctx context.Context) (string, error) {
		var err error
		s.world, err = testworld.Start(ctx, testworld.Options{Kubeconfig: s.options.Kubeconfig, DataDir: filepath.Join(s.folder, "controlplane")})
		if err != nil {
			return "", err
		}
		version, err := s.cluster().Discovery().ServerVersion()
		if err != nil {
			return "", err
		}
		if err := s.claim(ctx); err != nil {
			return "", err
		}
		return "kube-apiserver " + version.GitVersion, nil
	}); err != nil {
		return err
	}
	if err := s.screen.step(ctx, "config repo acme/shop, from the example", s.openShop); err != nil {
		return err
	}
	if err := s.screen.step(ctx, "built and signed 2 images", func(ctx context.Context) (string, error) {
		var err error
		if s.web, err = s.push(ctx, "web", "1.9.0"); err != nil {
			return "", err
		}
		s.api, err = s.push(ctx, "api", "2.0.1")
		return "web, api · cosign key pair made just now", err
	}); err != nil {
		return err
	}
	return s.screen.step(ctx, "agent running", func(ctx context.Context) (string, error) {
		var err error
		s.agent, err = s.shop.StartAgent(ctx, s.options.Pawl)
		return "environments dev, staging, production", err
	})
}

func (s *show) openShop(ctx context.Context) (string, error) {
	var err error
	s.shop, err = s.world.OpenShop(ctx, testworld.ShopOptions{
		Name: "acme/shop", Folder: s.folder, Environments: []string{"dev", "staging", "production"},
	})
	if err != nil {
		return "", err
	}
	files, err := testworld.Files(environments.Example(), "ghcr.io/acme", s.world.Registry.Host()+"/acme")
	if err != nil {
		return "", err
	}
	_, err = s.shop.Repository.Commit(ctx, git.Commit{Message: "The shop, from the example", Author: "ada", Write: files})
	return fmt.Sprintf("%d files", len(files)), err
}

// push builds and signs an image under the tag that dev tracks.
func (s *show) push(ctx context.Context, application, version string) (string, error) {
	digest, err := s.shop.Push(ctx, application, "main", version, true)
	if err != nil {
		return "", err
	}
	return digest.DigestStr(), nil
}

func (s *show) buildLands(ctx context.Context, number int) error {
	s.screen.chapter(number, "A build lands", fmt.Sprintf("web %s, api %s tagged main", brief(s.web), brief(s.api)))
	var commit string
	if err := s.screen.step(ctx, "found, verified, committed to dev", func(ctx context.Context) (string, error) {
		var err error
		commit, err = s.headWith(ctx, "dev", map[string]string{"web": s.web, "api": s.api})
		return fmt.Sprintf("commit %.7s", commit), err
	}); err != nil {
		return err
	}
	return s.screen.step(ctx, "dev is healthy", func(ctx context.Context) (string, error) { return s.green(ctx, commit, "dev") })
}

func (s *show) promotionToStaging(ctx context.Context, number int) error {
	s.screen.chapter(number, "Promotion to staging", "merged by the agent, as pawl.yaml says")
	for _, application := range []string{"web", "api"} {
		if err := s.screen.step(ctx, "pull request for "+application+" opened", func(ctx context.Context) (string, error) {
			pull, err := s.shop.Pull(ctx, "staging", application)
			return pulled(pull), err
		}); err != nil {
			return err
		}
	}
	var commit string
	if err := s.screen.step(ctx, "merged", func(ctx context.Context) (string, error) {
		var err error
		commit, err = s.headWith(ctx, "staging", map[string]string{"web": s.web, "api": s.api})
		return fmt.Sprintf("commit %.7s", commit), err
	}); err != nil {
		return err
	}
	return s.screen.step(ctx, "staging is healthy", func(ctx context.Context) (string, error) { return s.green(ctx, commit, "staging") })
}

func (s *show) productionWaits(ctx context.Context, number int) error {
	s.screen.chapter(number, "Production waits for a person", "")
	for _, application := range []string{"web", "api"} {
		var pull *github.PullRequest
		if err := s.screen.step(ctx, "pull request for "+application+" waits", func(ctx context.Context) (string, error) {
			var err error
			pull, err = s.shop.Pull(ctx, "production", application)
			return pulled(pull), err
		}); err != nil {
			return err
		}
		if err := s.screen.step(ctx, "merged, as you would", func(ctx context.Context) (string, error) {
			if pull.GetState() != "open" {
				return "", fmt.Errorf("#%d is %s; nobody but a person was to merge it", pull.GetNumber(), pull.GetState())
			}
			return "by ada", s.shop.Merge(ctx, pull)
		}); err != nil {
			return err
		}
	}
	return s.screen.step(ctx, "production is healthy", func(ctx context.Context) (string, error) {
		commit, err := s.headWith(ctx, "production", map[string]string{"web": s.web, "api": s.api})
		if err != nil {
			return "", err
		}
		return s.green(ctx, commit, "production")
	})
}

func (s *show) unsignedIsRefused(ctx context.Context, number int) error {
	s.screen.chapter(number, "What is not signed", "somebody pushes an unsigned image to production by hand")
	digest, err := s.shop.Push(ctx, "web", "hotfix", "1.9.1-hotfix", false)
	if err != nil {
		return err
	}
	return s.refused(ctx, "an unsigned image is refused", "Ship the hotfix, quickly",
		overlay("web", "production"), s.web, digest.DigestStr())
}

func (s *show) badManifestIsRefused(ctx context.Context, number int) error {
	s.screen.chapter(number, "A manifest that cannot be", "somebody writes request: where requests: is meant")
	return s.refused(ctx, "a bad manifest is refused", "More replicas",
		"apps/web/overlays/production/resources.yaml", "requests:", "request:")
}

// refused commits a change to production, shows that it is refused and that
// nothing changed in the cluster, and takes it back.
func (s *show) refused(ctx context.Context, label, message, file, old, changed string) error {
	before, err := s.production(ctx)
	if err != nil {
		return err
	}
	text, err := s.shop.Repository.ReadFile(ctx, "main", file)
	if err != nil {
		return err
	}
	edited := strings.Replace(text, old, changed, 1)
	if edited == text {
		return fmt.Errorf("%s does not hold %q, which was to be changed", file, old)
	}
	var run *github.CheckRun
	if err := s.screen.step(ctx, label, func(ctx context.Context) (string, error) {
		commit, err := s.shop.Repository.Commit(ctx, git.Commit{Message: message, Author: "mallory", Write: map[string]string{file: edited}})
		if err != nil {
			return "", err
		}
		if run, err = s.shop.Check(ctx, commit, "production"); err != nil {
			return "", err
		}
		if run.GetConclusion() != "failure" {
			return "", fmt.Errorf("the check says %s", run.GetConclusion())
		}
		return fmt.Sprintf("check %q is red", run.GetName()), nil
	}); err != nil {
		return err
	}
	if err := s.saidWhy(ctx); err != nil {
		return err
	}
	if err := s.screen.step(ctx, "nothing was changed", func(ctx context.Context) (string, error) {
		after, err := s.production(ctx)
		if err == nil && (after.Generation != before.Generation || after.UID != before.UID) {
			err = fmt.Errorf("the Deployment went from generation %d to %d", before.Generation, after.Generation)
		}
		return fmt.Sprintf("web still runs %s", brief(s.web)), err
	}); err != nil {
		return err
	}
	return s.screen.step(ctx, "taken back, production is healthy", func(ctx context.Context) (string, error) {
		commit, err := s.shop.Repository.Commit(ctx, git.Commit{Message: "Revert: " + message, Author: "ada", Write: map[string]string{file: text}})
		if err != nil {
			return "", err
		}
		return s.green(ctx, commit, "production")
	})
}

// saidWhy prints what the agent says of the refusal.
func (s *show) saidWhy(ctx context.Context) error {
	status, err := s.shop.Status(ctx)
	if err != nil {
		return err
	}
	for _, e := range status.Environments {
		for _, t := range e.Targets {
			if t.Problem != nil {
				s.screen.note(t.Problem.Text)
				return nil
			}
		}
	}
	return errors.New("the check is red, but the agent's status has no problem")
}

func (s *show) handEditIsPutBack(ctx context.Context, number int) error {
	s.screen.chapter(number, "Somebody edits production", "")
	before, err := s.production(ctx)
	if err != nil {
		return err
	}
	wanted := *before.Spec.Replicas
	detail := ""
	err = s.screen.step(ctx, fmt.Sprintf("replicas %d → %d put back", wanted, wanted+3), func(ctx context.Context) (string, error) {
		deployments := s.cluster().AppsV1().Deployments("web-production")
		watch, err := deployments.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=web", ResourceVersion: before.ResourceVersion})
		if err != nil {
			return "", err
		}
		defer watch.Stop()
		patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, wanted+3)
		if _, err := deployments.Patch(ctx, "web", types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
			return "", err
		}
		edited := time.Now()
		seen, late := false, time.After(patience)
		for {
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-late:
				return "", fmt.Errorf("not put back within %s", patience)
			case event, open := <-watch.ResultChan():
				if !open {
					return "", errors.New("the watch ended")
				}
				live, ok := event.Object.(*appsv1.Deployment)
				switch {
				case !ok:
				case *live.Spec.Replicas == wanted+3:
					seen = true
				case seen && *live.Spec.Replicas == wanted:
					detail = fmt.Sprintf("%s after the edit", short(time.Since(edited)))
					return detail, nil
				}
			}
		}
	})
	if err != nil {
		return err
	}
	return s.screen.step(ctx, "known who it was", func(ctx context.Context) (string, error) {
		var said string
		err := testworld.Until(ctx, "the agent's word on it", func(ctx context.Context) (bool, string, error) {
			status, err := s.shop.Status(ctx)
			if err != nil {
				return false, "", err
			}
			for _, e := range status.Environments {
				for _, t := range e.Targets {
					if t.Target != "production/web" {
						continue
					}
					for _, d := range t.Drift {
						if d.Manager == "kubectl-edit" && d.TookMillis != nil {
							said = fmt.Sprintf("%s: %s was by %s", d.Object, strings.Join(d.Fields, ", "), d.Manager)
							return true, "", nil
						}
					}
				}
			}
			return false, "no drift by kubectl-edit in its status", nil
		})
		return said, err
	})
}

// table shows where everything ended.
func (s *show) table(ctx context.Context) error {
	status, err := s.shop.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.options.Out)
	s.options.Table(s.options.Out, status)
	return nil
}

// production is the Deployment web in production as it is now.
func (s *show) production(ctx context.Context) (*appsv1.Deployment, error) {
	return s.cluster().AppsV1().Deployments("web-production").Get(ctx, "web", metav1.GetOptions{})
}

// headWith waits until the branch holds the digests in an environment, and
// returns the commit.
func (s *show) headWith(ctx context.Context, environment string, digests map[string]string) (string, error) {
	var commit string
	err := testworld.Until(ctx, "the digests of "+environment+" on main", func(ctx context.Context) (bool, string, error) {
		var err error
		if commit, err = s.shop.Repository.Resolve(ctx, "refs/heads/main"); err != nil {
			return false, "", err
		}
		for application, digest := range digests {
			text, err := s.shop.Repository.ReadFile(ctx, commit, overlay(application, environment))
			if err != nil {
				return false, "", err
			}
			if !strings.Contains(text, digest) {
				return false, fmt.Sprintf("%s of %.7s does not hold %s", overlay(application, environment), commit, brief(digest)), nil
			}
		}
		return true, "", nil
	})
	return commit, err
}

func (s *show) cluster() *kubernetes.Clientset {
	config, err := s.world.ControlPlane.RESTConfig()
	if err != nil {
		panic(err) // Start has read this file already
	}
	return kubernetes.NewForConfigOrDie(config)
}

// claim makes sure that in a cluster that is not ours nothing stands where the
// demo will write: at its end it removes all that.
func (s *show) claim(ctx context.Context) error {
	if s.options.Kubeconfig == "" {
		return nil
	}
	namespaces := []string{deploy.Namespace}
	for _, application := range []string{"web", "api"} {
		for _, environment := range []string{"dev", "staging", "production"} {
			namespaces = append(namespaces, application+"-"+environment)
		}
	}
	for _, name := range namespaces {
		switch _, err := s.cluster().CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); {
		case err == nil:
			return fmt.Errorf("the cluster of %s has a namespace %s already; the demo would write to it and remove it at its end, so choose another cluster", s.options.Kubeconfig, name)
		case !apierrors.IsNotFound(err):
			return err
		}
	}
	s.made = namespaces[1:]
	return nil
}

// giveBack takes what the demo made out of a cluster that is not ours.
func (s *show) giveBack(ctx context.Context) error {
	if s.made == nil {
		return nil
	}
	problems := []error{s.world.Uninstall(ctx)}
	for _, name := range s.made {
		if err := s.cluster().CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func overlay(application, environment string) string {
	return "apps/" + application + "/overlays/" + environment + "/kustomization.yaml"
}

// green waits for a green check, and says so.
func (s *show) green(ctx context.Context, commit, environment string) (string, error) {
	return fmt.Sprintf("check \"pawl / %s\" is green", environment), s.shop.Green(ctx, commit, environment)
}

// patience bounds the wait for a hand edit to be put back.
const patience = 60 * time.Second

// brief shortens a digest: "3f1c1a2b…".
func brief(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(8, len(hex))] + "…"
}

func pulled(p *github.PullRequest) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("#%d %s   %s", p.GetNumber(), p.GetTitle(), p.GetHTMLURL())
}
