package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/pawl-dev/pawl/deploy"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld"
)

// full reports whether a scenario is played in the size that is promised:
// `make test-long` does that, by PAWL_SCENARIO_FULL. `make test` plays a small one.
func full() bool { return os.Getenv("PAWL_SCENARIO_FULL") != "" }

// footprint is what a process holds: the least of several looks, as each may
// come in the middle of something.
type footprint struct {
	goroutines, descriptors, heap, resident float64
	temporary                               int
}

func (f *footprint) look(s *story) {
	s.t.Helper()
	m := s.metrics()
	f.goroutines = min(f.goroutines, m["go_goroutines"])
	f.descriptors = min(f.descriptors, m["process_open_fds"])
	f.heap = min(f.heap, m["go_gc_heap_live_bytes"])
	f.resident = min(f.resident, m["process_resident_memory_bytes"])
	files, err := os.ReadDir(s.Temporary())
	s.must(err)
	f.temporary = min(f.temporary, len(files))
}

func newFootprint() footprint {
	most := math.MaxFloat64
	return footprint{most, most, most, most, math.MaxInt}
}

func (f footprint) String() string {
	return fmt.Sprintf("%.0f goroutines, %.0f descriptors, %d temporary files, %.1f MiB of heap in use, %.0f MiB resident",
		f.goroutines, f.descriptors, f.temporary, f.heap/(1<<20), f.resident/(1<<20))
}

// An agent that has brought 10,000 revisions to targets, some that cannot be
// rendered or are edited by hand meanwhile, holds no more than after the first.
//
// catalogue 115
func TestScenarioEndurance(t *testing.T) {
	const targets = 20
	reconciles := 400
	if full() {
		reconciles = 10_000
	}
	s := tell(t, testworld.ShopOptions{})
	image := s.image("web", "1").String()
	objects := func(app int, text string) string {
		var b strings.Builder
		for i := range 3 {
			fmt.Fprintf(&b, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app-%d-%d, namespace: $NAME-dev}\ndata: {text: %q}\n---\n", app, i, text)
		}
		if app == 0 {
			return objects("dev", text, 1, image) + "---\n" + b.String()
		}
		return b.String()
	}
	commit := func(round int) string {
		files := map[string]string{"pawl.yaml": strings.Replace(pipeline("dev"), "overlays/{env}", "apps/{app}/{env}", 1)}
		for app := range targets {
			folder := fmt.Sprintf("apps/app-%d/dev/", app)
			files[folder+"kustomization.yaml"] = overlay
			files[folder+"objects.yaml"] = objects(app, fmt.Sprint("round ", round))
		}
		if round%5 == 4 {
			files["apps/app-7/dev/objects.yaml"] = "<<<<<<< HEAD\n"
		}
		return s.commit(fmt.Sprint("round ", round), files)
	}
	_, err := s.cluster.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace("dev")}}, metav1.CreateOptions{})
	s.must(err)
	first := commit(0)
	s.start()
	s.green(first, "dev")

	rounds := reconciles / targets
	window := max(rounds/4, 4)
	before, after := newFootprint(), newFootprint()
	for round := 1; round <= rounds; round++ {
		head := commit(round)
		if round%3 == 0 {
			_, err := s.cluster.CoreV1().ConfigMaps(s.namespace("dev")).Patch(t.Context(), "app-3-1", types.MergePatchType, []byte(`{"data":{"text":"by hand"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
			s.must(err)
		}
		want := "success"
		if round%5 == 4 {
			want = "failure"
		}
		// The agent is asked: so many looks at checks would use up a person's quota.
		s.until(fmt.Sprintf("%s of round %d", want, round), func(ctx context.Context) (bool, string, error) {
			status, err := s.Status(ctx)
			if err != nil || len(status.Environments) == 0 {
				return false, "", err
			}
			e := status.Environments[0]
			return string(e.Commit) == head && e.State == want, string(e.Commit) + " " + e.State, nil
		})
		switch {
		case round <= window:
			before.look(s)
		case round > rounds-window:
			after.look(s)
		}
	}
	t.Logf("%d reconciles; before: %v; after: %v", rounds*targets, before, after)
	if after.temporary > 0 {
		t.Errorf("%d temporary files were left", after.temporary)
	}
	if after.goroutines > before.goroutines+5 || after.descriptors > before.descriptors+5 {
		t.Error("goroutines or descriptors were not given back")
	}
	// What is remembered of each target has come to its bound long before the
	// end of the full size; before that it still grows by some kilobytes.
	if after.heap > 1.1*before.heap+2<<20 {
		t.Error("the heap grew")
	}
	if full() && after.resident > 1.25*before.resident {
		t.Error("the process grew")
	}
}

// Many environments, many objects in one namespace and many kinds converge, and
// within the memory that the agent is given.
//
// catalogue 118
func TestScenarioScale(t *testing.T) {
	many := struct{ environments, objects, crowd, kinds int }{8, 25, 500, 10}
	if full() {
		many.environments, many.objects, many.crowd, many.kinds = 50, 200, 5000, 100
	}
	// One namespace may be many targets': kustomize's own time grows with the
	// square of what one overlay has.
	const crowds = 5
	// deploy/base leaves the agent so much of its pod's memory.
	const memory = 400 << 20

	var names []string
	for i := range many.environments {
		names = append(names, fmt.Sprintf("e%d", i))
	}
	s := tell(t, testworld.ShopOptions{Environments: names})
	group := s.name + ".test"
	s.allow(group)
	write := func(text string) map[string]string {
		files := map[string]string{"pawl.yaml": strings.Replace(pipeline(names...), "overlays/{env}", "apps/{app}/{env}", 1)}
		target := func(folder, objects string) {
			files["apps/"+folder+"/kustomization.yaml"], files["apps/"+folder+"/objects.yaml"] = overlay, objects
		}
		for _, e := range names {
			target("base/"+e, "apiVersion: v1\nkind: Namespace\nmetadata: {name: $NAME-"+e+"}\n"+mapsIn("$NAME-"+e, 1, many.objects, text))
		}
		for i := range crowds {
			target(fmt.Sprintf("crowd-%d/e0", i), mapsIn("$NAME-crowd", i*many.crowd/crowds, (i+1)*many.crowd/crowds, text))
		}
		target("kinds/e0", kindsOf(group, many.kinds, text))
		return files
	}
	_, err := s.cluster.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace("crowd")}}, metav1.CreateOptions{})
	s.must(err)
	begun := time.Now()
	first := s.commit("first", write("first"))
	s.start()
	s.converges(first, names, begun)
	begun = time.Now()
	next := s.commit("next", write("next"))
	s.converges(next, names, begun)

	for _, e := range append(names, "crowd") {
		want := many.objects - 1
		if e == "crowd" {
			want = many.crowd
		}
		list, err := s.cluster.CoreV1().ConfigMaps(s.namespace(e)).List(t.Context(), metav1.ListOptions{LabelSelector: "pawl.dev/target"})
		s.must(err)
		for _, m := range list.Items {
			if m.Data["text"] == "next" {
				want--
			}
		}
		if want != 0 {
			t.Errorf("%s: %d ConfigMaps are missing", e, want)
		}
	}
	peak := s.peak()
	t.Logf("the most memory that was needed: %d MiB", peak>>20)
	if peak > memory {
		t.Errorf("the agent needed %d MiB; it is to manage with %d", peak>>20, memory>>20)
	}
}

// mapsIn are the ConfigMaps of some numbers.
func mapsIn(namespace string, from, to int, text string) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: map-%d, namespace: %s}\ndata: {text: %q}\n", i, namespace, text)
	}
	return b.String()
}

// kindsOf are so many definitions, with an object of each.
func kindsOf(group string, n int, text string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kind%[1]ds.%[2]s}
spec:
  group: %[2]s
  scope: Cluster
  names: {kind: Kind%[1]d, plural: kind%[1]ds, singular: kind%[1]d}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {text: {type: string}}}}}}
---
apiVersion: %[2]s/v1
kind: Kind%[1]d
metadata: {name: %[3]s}
spec: {text: %[4]q}
---
`, i, group, "one", text)
	}
	return b.String()
}

// converges waits until all environments are green, and tells when 95 of a
// hundred were.
func (s *story) converges(commit string, names []string, begun time.Time) {
	s.t.Helper()
	var p95, last time.Duration
	ctx, cancel := context.WithTimeout(s.t.Context(), 15*time.Minute)
	defer cancel()
	done := map[string]bool{}
	for len(done) < len(names) {
		status, err := s.Status(ctx)
		if err != nil {
			s.t.Fatalf("%d of %d environments converged: %v\n%s", len(done), len(names), err, s.agent.Tail(5))
		}
		for _, e := range status.Environments {
			if string(e.Commit) != commit || done[e.Name] {
				continue
			}
			switch e.State {
			case "failure":
				s.t.Fatalf("environment %s failed: %+v", e.Name, e)
			case "success":
				done[e.Name] = true
				last = time.Since(begun)
				if len(done)*100 >= len(names)*95 && p95 == 0 {
					p95 = last
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.t.Logf("%d environments converged: 95 of a hundred after %s, the last after %s", len(names), p95.Round(time.Millisecond), last.Round(time.Millisecond))
}

// peak is the most memory that the agent had, without the processes that render.
func (s *story) peak() (bytes int64) {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.agent.PID()))
	s.must(err)
	_, after, ok := strings.Cut(string(status), "VmHWM:")
	if !ok {
		s.t.Fatal("the kernel does not tell the peak")
	}
	_, err = fmt.Sscanf(after, "%d kB", &bytes)
	s.must(err)
	return bytes << 10
}

// allow gives the agent rights to definitions and to the kinds of a group, as
// deploy/components do, for as long as the story is told. What guards the
// agent's namespace must not mind.
func (s *story) allow(group string) {
	s.t.Helper()
	ctx, roles := context.WithoutCancel(s.t.Context()), s.cluster.RbacV1()
	role := rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: []string{"get", "list", "watch", "create", "patch"}},
		{APIGroups: []string{group}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
	}}
	_, err := roles.ClusterRoles().Create(ctx, &role, metav1.CreateOptions{})
	s.must(err)
	_, err = roles.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: role.ObjectMeta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: deploy.Namespace, Name: deploy.ServiceAccount}},
	}, metav1.CreateOptions{})
	s.must(err)
	access, err := s.World.ControlPlane.RESTConfig()
	s.must(err)
	s.t.Cleanup(func() {
		definitions := dynamic.NewForConfigOrDie(access).Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
		mark := drift.MarkFor(s.Repository.Name, environments.Target{})
		for _, err := range []error{
			definitions.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: drift.LabelAgent + "=" + mark.Agent}),
			roles.ClusterRoleBindings().Delete(ctx, role.Name, metav1.DeleteOptions{}), roles.ClusterRoles().Delete(ctx, role.Name, metav1.DeleteOptions{}),
		} {
			if err != nil {
				s.t.Error(err)
			}
		}
	})
}
