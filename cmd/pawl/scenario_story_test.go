package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/git"
	"github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

// A scenario is drawn from a seed. `make test` plays a few rounds of one that is
// always the same; `make test-long` plays PAWL_SCENARIO_ROUNDS of another
// each time. PAWL_SCENARIO_SEED plays one again; what depends on time may come
// out otherwise.
func scenario(t *testing.T, short int) (draw *rand.Rand, rounds int) {
	t.Helper()
	number := func(variable string, otherwise int) int {
		text := os.Getenv(variable)
		if text == "" {
			return otherwise
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", variable, err)
		}
		return n
	}
	rounds = number("PAWL_SCENARIO_ROUNDS", short)
	seed := 1
	if rounds != short {
		seed = int(time.Now().UnixNano() % 1e9)
	}
	seed = number("PAWL_SCENARIO_SEED", seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to play it again: PAWL_SCENARIO_SEED=%d PAWL_SCENARIO_ROUNDS=%d go test ./cmd/pawl -run '^%s$'", seed, rounds, t.Name())
		}
	})
	return rand.New(rand.NewPCG(uint64(seed), 107)), rounds
}

// chaos is what happens to a shop in a scenario.
type chaos struct {
	*model
	draw    *rand.Rand
	signed  []string // images
	files   map[string]string
	commits []string
	heal    []func()
	kills   int
	// way leads to the API server, and told is what happened so far.
	way  *testworld.Proxy
	told []string
}

func newChaos(s *story, draw *rand.Rand) *chaos {
	s.t.Helper()
	s.configure(func(config map[string]any) {
		shortLease(config)
		config["repository"].(map[string]any)["poll"] = "1s"
	})
	c := &chaos{model: newModel(s), draw: draw}
	for i := range 3 {
		image := s.image("web", strconv.Itoa(i)).String()
		c.signed, c.images[image] = append(c.signed, image), true
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("what happened:\n%s", strings.Join(c.told, "\n"))
		}
	})
	return c
}

// tell notes what happens, for whoever has to find out why it went wrong.
func (c *chaos) tell(format string, arguments ...any) {
	c.told = append(c.told, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, arguments...))
}

// openWay leads the agent to the API server by a way that can be cut.
func (c *chaos) openWay() {
	c.t.Helper()
	access, err := c.World.ControlPlane.RESTConfig()
	c.must(err)
	server, err := url.Parse(access.Host)
	c.must(err)
	c.way, err = testworld.StartProxy(context.Background(), server.Host)
	c.must(err)
	c.t.Cleanup(func() { _ = c.way.Close() })
	c.through(c.way.Addr())
}

// pruning lets any share of the first environment go at once.
func pruning(pipeline string) string {
	return strings.Replace(pipeline, "    - name: dev\n", "    - name: dev\n      prune: {maxPercent: 100}\n", 1)
}

// release is a config repo that may be applied: other texts, another number of
// objects, perhaps another image or the last objects in another file. Staging
// has what dev had at first.
func (c *chaos) release() map[string]string {
	files := map[string]string{"pawl.yaml": pruning(pipeline("dev", "staging"))}
	text := fmt.Sprintf("release %d", c.draw.IntN(1000))
	for environment, image := range map[string]string{"dev": c.signed[c.draw.IntN(len(c.signed))], "staging": c.signed[0]} {
		repository, digest, _ := strings.Cut(image, "@")
		maps := 1
		if environment == "dev" {
			maps = 1 + c.draw.IntN(12)
		}
		files["overlays/"+environment+"/kustomization.yaml"] = overlay + "images:\n  - name: web\n    newName: " + repository + "\n    digest: " + digest + "\n"
		declared := objects(environment, text, maps, "web")
		if at := strings.LastIndex(declared, "---\n"); environment == "dev" && c.draw.IntN(2) == 0 {
			file := "overlays/dev/kustomization.yaml"
			files[file] = strings.Replace(files[file], "[objects.yaml]", "[moved.yaml, objects.yaml]", 1)
			files["overlays/dev/moved.yaml"] = declared[at:]
			declared = declared[:at]
		}
		files["overlays/"+environment+"/objects.yaml"] = declared
	}
	return files
}

// next pushes a release that becomes the last good one.
func (c *chaos) next(message string) string {
	c.t.Helper()
	c.files = c.release()
	c.good(c.files, "dev", "staging")
	return c.push(message, c.files)
}

func (c *chaos) push(message string, files map[string]string) string {
	c.t.Helper()
	commit := c.commit(message, files)
	c.tell("pushed %.7s: %s", commit, message)
	c.commits = append(c.commits, commit)
	return commit
}

// broken is a release that must not be applied to dev; the other environment
// stays as it is.
func (c *chaos) broken() map[string]string {
	files := c.release()
	for path, text := range c.files {
		if strings.HasPrefix(path, "overlays/staging/") {
			files[path] = text
		}
	}
	const file = "overlays/dev/objects.yaml"
	const pods = "metadata: {labels: {app: web}}\n    spec:"
	switch c.draw.IntN(4) {
	case 0:
		files[file] = "<<<<<<< HEAD\n" + files[file]
	case 1:
		files[file] += "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: misspelt, namespace: $NAME-dev}\nspec: {replica: 2}\n"
	case 2: // is applied, fails, and is taken back
		for path := range files {
			files[path] = strings.Replace(files[path], pods, `metadata: {labels: {app: web}, annotations: {testworld.pawl.dev/fail: "address in use"}}`+"\n    spec:", 1)
		}
		for path, text := range c.files {
			if strings.HasPrefix(path, "overlays/staging/") {
				files[path] = text
			}
		}
		c.mayApply(files, "dev", "staging")
	default:
		files["overlays/dev/kustomization.yaml"] = strings.Split(files["overlays/dev/kustomization.yaml"], "images:")[0] + "images:\n  - name: web\n    newName: " + c.Image("web") + "\n    digest: sha256:" + strings.Repeat("0", 64) + "\n"
	}
	return files
}

// pause is a random part of what an apply takes.
func (c *chaos) pause() {
	time.Sleep(time.Duration(c.draw.IntN(600)) * time.Millisecond)
}

// byHand changes or deletes something that the agent keeps, or makes something
// that it does not.
func (c *chaos) byHand() {
	c.t.Helper()
	ctx, namespace := c.t.Context(), c.namespace("dev")
	maps, deployments := c.cluster.CoreV1().ConfigMaps(namespace), c.cluster.AppsV1().Deployments(namespace)
	name := fmt.Sprintf("map-%d", c.draw.IntN(3))
	edit := func(patch string) {
		c.tell("by hand: %s %s", name, patch)
		_, _ = maps.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"}) // it need not be there
	}
	switch c.draw.IntN(7) {
	case 0, 1:
		c.tell("by hand: delete %s", name)
		_ = maps.Delete(ctx, name, metav1.DeleteOptions{})
	case 2:
		edit(`{"data":{"text":"by hand"}}`)
	case 3:
		edit(`{"metadata":{"labels":{"pawl.dev/target":null}},"data":{"text":"out of sight"}}`)
	case 4:
		c.tell("by hand: delete the Deployment")
		_ = deployments.Delete(ctx, "web", metav1.DeleteOptions{})
	case 5:
		c.tell("by hand: scale")
		_, _ = deployments.Patch(ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{FieldManager: "kubectl-scale"})
	default:
		name := fmt.Sprintf("map-foreign-%d", len(c.foreign))
		c.tell("by hand: make %s", name)
		c.plant("dev", name)
	}
}

// outage takes git, GitHub, the registry or the API server away until mended.
func (c *chaos) outage() {
	world := c.World
	switch c.draw.IntN(4) {
	case 0:
		c.tell("git is gone")
		c.heal = append(c.heal, world.GitHub.Git().Fail(git.Match{Repository: c.Repository.Name, Service: "upload-pack"}, git.Fault{Status: http.StatusServiceUnavailable}))
	case 1:
		c.tell("GitHub is gone")
		c.heal = append(c.heal, world.GitHub.Fail(github.Match{Path: regexp.MustCompile("^/repos/" + c.Repository.Name + "/"), Token: "installation"}, github.Fault{Status: http.StatusBadGateway}))
	case 2:
		c.tell("the registry is gone")
		// Others' stories use the same repositories: the fault is short.
		heal := world.Registry.Fail(registry.Match{Repository: "acme/web"}, registry.Fault{Status: http.StatusServiceUnavailable, Times: 20})
		c.heal = append(c.heal, heal)
	default:
		c.tell("the API server is gone")
		c.way.Cut()
		c.heal = append(c.heal, c.way.Heal)
	}
}

func (c *chaos) mend() {
	c.tell("all is mended")
	for _, heal := range c.heal {
		heal()
	}
	c.heal = nil
}

// kill is kill -9, and a start right after it.
func (c *chaos) kill() {
	c.t.Helper()
	if err := c.agent.Kill(); err != nil {
		c.t.Fatal(err)
	}
	c.kills++
	c.tell("killed")
	c.start()
}

// catalogue 107
func TestScenarioOfKills(t *testing.T) {
	s := tell(t, testworld.ShopOptions{Environments: []string{"dev", "staging"}})
	draw, rounds := scenario(t, 2)
	c := newChaos(s, draw)
	c.openWay()
	commit := c.next("first")
	c.start()
	c.green(commit, "dev")
	c.green(commit, "staging")
	c.plant("dev", "map-foreign")
	for range rounds {
		for range 1 + draw.IntN(4) {
			switch draw.IntN(6) {
			case 0:
				c.push("broken", c.broken())
			case 1:
				c.byHand()
			case 2:
				c.outage()
			case 3:
				c.mend()
			default:
				// What is only good to be overtaken may be applied too.
				c.next("overtaken")
			}
			c.pause()
			if draw.IntN(3) > 0 {
				c.kill()
			}
		}
		c.mend()
		commit := c.next("good")
		if draw.IntN(2) == 0 {
			c.pause()
			c.kill()
		}
		c.green(commit, "dev")
		c.green(commit, "staging")
		c.equal()
		if draw.IntN(2) == 0 {
			c.red(c.push("broken", c.broken()), "dev")
			c.byHand()
			c.equal()
		}
	}
	c.judge()
	c.oneEach(c.commits, "dev", "staging")
	t.Logf("%d rounds, %d kills, %d commits", rounds, c.kills, len(c.commits))
}
