package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
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
	return c
}

// pruning lets any share of the first environment go at once.
func pruning(pipeline string) string {
	return strings.Replace(pipeline, "    - name: dev\n", "    - name: dev\n      prune: {maxPercent: 100}\n", 1)
}

// release is a config repo that may be applied: other texts, another number of
// objects, perhaps another image. Staging has what dev had at first.
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
		files["overlays/"+environment+"/objects.yaml"] = objects(environment, text, maps, "web")
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
	switch c.draw.IntN(3) {
	case 0:
		files[file] = "<<<<<<< HEAD\n" + files[file]
	case 1:
		files[file] = strings.Replace(files[file], "replicas: 2", "replica: 2", 1)
	default:
		files["overlays/dev/kustomization.yaml"] = overlay + "images:\n  - name: web\n    newName: " + c.Image("web") + "\n    digest: sha256:" + strings.Repeat("0", 64) + "\n"
	}
	return files
}

// pause is a random part of what an apply takes.
func (c *chaos) pause() {
	time.Sleep(time.Duration(c.draw.IntN(600)) * time.Millisecond)
}

// byHand changes or deletes something that the agent keeps.
func (c *chaos) byHand() {
	c.t.Helper()
	maps := c.cluster.CoreV1().ConfigMaps(c.namespace("dev"))
	name := fmt.Sprintf("map-%d", c.draw.IntN(3))
	if c.draw.IntN(2) == 0 {
		_ = maps.Delete(c.t.Context(), name, metav1.DeleteOptions{}) // it need not be there
		return
	}
	_, _ = maps.Patch(c.t.Context(), name, types.MergePatchType, []byte(`{"data":{"text":"by hand"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
}

// outage takes git, GitHub or the registry away until mended.
func (c *chaos) outage() {
	world := c.World
	switch c.draw.IntN(3) {
	case 0:
		c.heal = append(c.heal, world.GitHub.Git().Fail(git.Match{Repository: c.Repository.Name, Service: "upload-pack"}, git.Fault{Status: http.StatusServiceUnavailable}))
	case 1:
		c.heal = append(c.heal, world.GitHub.Fail(github.Match{Path: regexp.MustCompile("^/repos/" + c.Repository.Name + "/"), Token: "installation"}, github.Fault{Status: http.StatusBadGateway}))
	default:
		// Others' stories use the same repositories: the fault is short.
		heal := world.Registry.Fail(registry.Match{Repository: "acme/web"}, registry.Fault{Status: http.StatusServiceUnavailable, Times: 20})
		c.heal = append(c.heal, heal)
	}
}

func (c *chaos) mend() {
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
	c.start()
}

// catalogue 107
func TestScenarioOfKills(t *testing.T) {
	s := tell(t, testworld.ShopOptions{Environments: []string{"dev", "staging"}})
	draw, rounds := scenario(t, 2)
	c := newChaos(s, draw)
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
