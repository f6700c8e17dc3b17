package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/deploy"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/canary"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// bomb is a document whose nine levels of aliases unfold to 9⁹ texts.
func bomb() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\na: &a [x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c <= 'i'; c++ {
		fmt.Fprintf(&b, "%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+", ", 9), ", "))
	}
	return b.String()
}

// configMaps are so many ConfigMaps.
func configMaps(count int) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: map-%d, namespace: $NAME-dev}\ndata: {text: x}\n", i)
	}
	return b.String()
}

// patched is a kustomization with so many patches of everything.
func patched(patches int) string {
	return overlay + "patches:\n" + strings.Repeat("  - {target: {kind: ConfigMap}, patch: \"- {op: add, path: /data/more, value: text}\"}\n", patches)
}

// catalogue 1, 20
func TestAnOverlayThatIsTooMuchStopsNoOther(t *testing.T) {
	s := tell(t, testworld.ShopOptions{Environments: []string{"dev", "production"}, Configure: func(_ *testworld.Shop, c *agent.Config) error {
		c.Render.Limits = agent.RenderLimits{Objects: 500, Time: environments.Duration(3 * time.Second)}
		return nil
	}})
	image := s.image("web", "1").String()
	s.open(inBoth("one", image))
	pid, mark := s.agent.PID(), s.mark()
	for _, c := range []struct{ says, kustomization, objects, limit string }{
		{"an alias bomb", overlay, bomb(), "render.limits.nodes"},
		{"too many objects", overlay, configMaps(501), "render.limits.objects"},
		{"a build that takes too long", patched(2000), configMaps(500), "render.limits.time"},
	} {
		files := inBoth(c.says, image)
		files["overlays/dev/kustomization.yaml"], files["overlays/dev/objects.yaml"] = c.kustomization, c.objects
		commit := s.commit(c.says, files)
		s.green(commit, "production")
		s.red(commit, "dev", c.limit)
		live, err := s.cluster.CoreV1().ConfigMaps(s.namespace("production")).Get(t.Context(), "map-0", metav1.GetOptions{})
		s.must(err)
		if live.Data["text"] != c.says {
			t.Errorf("production says %q beside %s", live.Data["text"], c.says)
		}
	}
	s.unwritten(mark, "dev")
	if _, err := s.Status(t.Context()); err != nil || s.agent.PID() != pid {
		t.Errorf("the agent does not live on as process %d: %v", pid, err)
	}
}

// catalogue 2, 3, 4, 9
func TestRenderingCallsNobody(t *testing.T) {
	lonely := canary.Listen(t)
	s := tell(t, testworld.ShopOptions{})
	good := repo("one", 1, s.image("web", "1").String())
	s.open(good)
	mark := s.mark()
	url := "http://" + lonely + "/x.yaml"
	for says, field := range map[string]string{
		"resources":               "resources: [objects.yaml, " + url + "]",
		"resources by git":        "resources: [objects.yaml, \"git::http://" + lonely + "/acme/web.git//base?ref=main\"]",
		"resources by GitHub":     "resources: [objects.yaml, \"https://github.com/acme/web//base?ref=v1\"]",
		"resources by ssh":        "resources: [objects.yaml, \"ssh://git@" + lonely + "/acme/web\"]",
		"resources by OCI":        "resources: [objects.yaml, \"oci://" + lonely + "/acme/web\"]",
		"components":              "components: [" + url + "]",
		"patches":                 "patches: [{path: " + url + "}]",
		"generator files":         "configMapGenerator: [{name: a, files: [a=" + url + "]}]",
		"generator envs":          "configMapGenerator: [{name: a, envs: [" + url + "]}]",
		"the API's description":   "openapi: {path: " + url + "}",
		"custom resources":        "crds: [" + url + "]",
		"replacements":            "replacements: [{path: " + url + "}]",
		"transformers":            "transformers: [" + url + "]",
		"configurations":          "configurations: [" + url + "]",
		"a chart":                 "helmCharts: [{name: a, repo: \"http://" + lonely + "\"}]",
		"a function in a process": "generators: [generator.yaml]",
	} {
		files := map[string]string{
			"overlays/dev/kustomization.yaml": strings.Replace(overlay, "resources: [objects.yaml]\n", "", 1) + field + "\n",
			"overlays/dev/generator.yaml":     "apiVersion: example.org/v1\nkind: Generator\nmetadata:\n  name: g\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: ./run.sh}\n",
			"overlays/dev/run.sh":             "#!/bin/sh\ncat < /dev/null > /dev/tcp/" + strings.Replace(lonely, ":", "/", 1) + "\n",
		}
		if !strings.HasPrefix(says, "resources") {
			files["overlays/dev/kustomization.yaml"] += "resources: [objects.yaml]\n"
		}
		s.red(s.commit(says, files), "dev", "RenderFailed", "overlays/dev/")
	}
	s.red(s.commit("an overlay elsewhere", map[string]string{"pawl.yaml": strings.Replace(pipeline("dev"), "overlays/{env}", "http://"+lonely+"/{env}", 1)}), "dev", "spec.overlays")
	s.unwritten(mark)
	s.green(s.commit("mended", good), "dev")
}

// catalogue 5, 6
func TestRenderingReadsNothingOfTheAgents(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	good := repo("one", 1, s.image("web", "1").String())
	s.open(good)
	const planted = "planted-token"
	token, err := s.File("sa-token", []byte(planted))
	s.must(err)
	mark := s.mark()
	generated := func(file string) string { return overlay + "configMapGenerator: [{name: a, files: [" + file + "]}]\n" }
	for says, c := range map[string]git.Commit{
		"a link to the token":          {Links: map[string]string{"overlays/dev/token": token}, Write: map[string]string{"overlays/dev/kustomization.yaml": generated("token")}},
		"a link to the agent's folder": {Links: map[string]string{"overlays/dev/agent": s.Folder}, Write: map[string]string{"overlays/dev/kustomization.yaml": generated("agent/sa-token")}},
		"a link out of the repository": {Links: map[string]string{"overlays/dev/up": "../../../.."}, Write: map[string]string{"overlays/dev/kustomization.yaml": generated("up" + token)}},
		"a path to the token":          {Write: map[string]string{"overlays/dev/kustomization.yaml": generated(token)}},
		"a path out of the repository": {Write: map[string]string{"overlays/dev/kustomization.yaml": generated("../../../../../../../../.." + token)}},
		"an overlay that is a link":    {Links: map[string]string{"overlays/dev": s.Folder}, Delete: []string{"overlays/dev"}},
	} {
		c.Message = says
		run := s.red(s.push(c), "dev")
		if strings.Contains(run.GetOutput().GetSummary(), planted) {
			t.Errorf("%s: the check tells the token", says)
		}
		s.green(s.push(git.Commit{Message: "mended: " + says, Write: good, Delete: []string{"overlays/dev"}}), "dev")
	}
	s.unwritten(mark)
	if strings.Contains(s.agent.Tail(1000), planted) {
		t.Error("the log tells the token")
	}
}

// catalogue 16, 22, 45, 46
func TestNoPlaceHidesAnUnsignedImage(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	signed, unsigned := s.image("web", "1").String(), s.unsigned("web", "unsigned").String()
	good := repo("one", 1, signed)
	good["pawl.yaml"] += "  images: [{group: example.org, kind: Engine, fields: [\"spec.steps[*].runner\"]}]\n"
	s.open(good)
	mark := s.mark()

	pod := func(rest string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: hidden, namespace: $NAME-dev}\nspec: {containers: [{name: a, image: " + signed + "}], " + rest + "}\n"
	}
	template := "{metadata: {labels: {app: hidden}}, spec: {restartPolicy: OnFailure, containers: [{name: a, image: " + unsigned + "}]}}"
	workload := func(kind, spec string) string {
		return "apiVersion: " + kind[:strings.LastIndex(kind, "/")] + "\nkind: " + kind[strings.LastIndex(kind, "/")+1:] + "\nmetadata: {name: hidden, namespace: $NAME-dev}\n" + spec + "\n"
	}
	selected := "spec: {selector: {matchLabels: {app: hidden}}, serviceName: hidden, template: " + template + "}"
	utf16le := func(text string) string {
		var b bytes.Buffer
		b.WriteString("\xff\xfe")
		s.must(binary.Write(&b, binary.LittleEndian, utf16.Encode([]rune(strings.ReplaceAll(text, "$NAME", s.name)))))
		return b.String()
	}
	hidden := pod("initContainers: [{name: b, image: " + unsigned + "}]")
	for says, document := range map[string]string{
		"an init container":         hidden,
		"a sidecar":                 pod("initContainers: [{name: b, image: " + unsigned + ", restartPolicy: Always}]"),
		"an ephemeral container":    pod("ephemeralContainers: [{name: b, image: " + unsigned + "}]"),
		"an image volume":           pod("volumes: [{name: v, image: {reference: " + unsigned + "}}]"),
		"a CronJob":                 workload("batch/v1/CronJob", "spec: {schedule: \"0 0 * * *\", jobTemplate: {spec: {template: "+template+"}}}"),
		"a Job":                     workload("batch/v1/Job", "spec: {template: "+template+"}"),
		"a DaemonSet":               workload("apps/v1/DaemonSet", strings.Replace(selected, "serviceName: hidden, ", "", 1)),
		"a StatefulSet":             workload("apps/v1/StatefulSet", selected),
		"a ReplicaSet":              workload("apps/v1/ReplicaSet", strings.Replace(selected, "serviceName: hidden, ", "", 1)),
		"a ReplicationController":   workload("v1/ReplicationController", "spec: {selector: {app: hidden}, template: "+template+"}"),
		"a PodTemplate":             workload("v1/PodTemplate", "template: "+template),
		"a List":                    "apiVersion: v1\nkind: List\nitems:\n  - " + strings.ReplaceAll(strings.TrimSpace(hidden), "\n", "\n    ") + "\n",
		"a PodList":                 "apiVersion: v1\nkind: PodList\nitems:\n  - " + strings.ReplaceAll(strings.TrimSpace(hidden), "\n", "\n    ") + "\n",
		"a file in UTF-16":          utf16le(hidden),
		"a file with a mark":        "\ufeff" + hidden,
		"a listed field":            workload("example.org/v1/Engine", "spec: {steps: [{runner: "+unsigned+"}]}"),
		"a field called image":      workload("example.org/v1/Other", "spec: {image: "+unsigned+"}"),
		"a field that nobody lists": workload("example.org/v1/Other", "spec: {runner: "+unsigned+"}"),
	} {
		commit := s.commit(says, map[string]string{
			"overlays/dev/kustomization.yaml": strings.Replace(overlay, "objects.yaml", "objects.yaml, hidden.yaml", 1),
			"overlays/dev/hidden.yaml":        document,
		})
		if says == "a field that nobody lists" {
			s.red(commit, "dev", "RenderFailed", "spec.runner", `group "example.org", kind "Other"`)
			continue
		}
		s.red(commit, "dev", "ImageRefused", unsigned[strings.Index(unsigned, "@"):][:15], `no signature by the key "release"`)
	}
	s.unwritten(mark)
}

// catalogue 28
func TestRenderShowsWhatTheAgentApplies(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	files := repo("one", 3, s.image("web", "1").String())
	mark := s.mark()
	s.open(files)

	checkout := t.TempDir()
	for path, text := range files {
		s.must(os.MkdirAll(filepath.Dir(filepath.Join(checkout, path)), 0o755))
		s.must(os.WriteFile(filepath.Join(checkout, path), []byte(strings.ReplaceAll(text, "$NAME", s.name)), 0o644))
	}
	text, err := exec.Command("pawl", "render", "dev", "--repo", checkout, "--config", s.Config, "-o", "json").Output()
	s.must(err)
	var shown rendered
	s.must(json.Unmarshal(text, &shown))
	if got := s.accepted("dev"); got.Release != shown.Digest {
		t.Errorf("the agent applied %s, and pawl render shows %s", got.Release, shown.Digest)
	}
	want := map[string]map[string]any{}
	for _, o := range shown.Objects {
		metadata := o["metadata"].(map[string]any)
		want[fmt.Sprint(o["kind"], metadata["name"])] = o
	}
	events, err := s.World.ControlPlane.Audit().Since(mark)
	s.must(err)
	for _, e := range events.Writes(testworld.AgentUser) {
		if !strings.HasPrefix(e.Namespace, s.name+"-") && !strings.HasPrefix(e.Name, s.name+"-") {
			continue
		}
		var sent map[string]any
		s.must(json.Unmarshal(e.RequestObject, &sent))
		metadata := sent["metadata"].(map[string]any)
		delete(metadata, "labels") // the agent's mark, and nothing else here
		delete(metadata, "uid")    // which object the write is for
		delete(metadata, "resourceVersion")
		key := fmt.Sprint(sent["kind"], metadata["name"])
		got, _ := json.Marshal(sent)
		shown, _ := json.Marshal(want[key])
		if !bytes.Equal(got, shown) {
			t.Errorf("the agent sent\n%s\nand pawl render shows\n%s", got, shown)
		}
		delete(want, key)
	}
	if len(want) != 0 {
		t.Errorf("the agent did not send %v", want)
	}
}

// accepted is what the agent's inventory says of a target.
func (s *story) accepted(target string) drift.Accepted {
	s.t.Helper()
	list, err := s.cluster.CoreV1().ConfigMaps(deploy.Namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "pawl.dev/inventory-of=" + strings.ReplaceAll(s.Repository.Name, "/", "_")})
	s.must(err)
	for _, one := range list.Items {
		for _, content := range one.BinaryData {
			inventory, _, err := drift.DecodeInventory(content, nil)
			s.must(err)
			if inventory.Target == target {
				return inventory.Accepted
			}
		}
	}
	s.t.Fatalf("no inventory of %s", target)
	return drift.Accepted{}
}
