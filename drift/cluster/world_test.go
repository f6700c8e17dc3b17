package cluster_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// patience is how long a condition may take on a busy machine.
const patience = 60 * time.Second

// world is an agent's edge on the shared control plane, with a namespace of
// its own for its inventories and one for the objects of a release.
type world struct {
	t         testing.TB
	plane     *controlplane.ControlPlane
	config    *rest.Config
	dynamic   *dynamic.DynamicClient
	own       string // the agent's namespace
	namespace string // for objects
	agent     string // owner and user agent
	target    environments.Target
	cluster   *cluster.Cluster
	options   cluster.Options
	settings  environments.Environment // of the target's environment

	mu      sync.Mutex
	notices []drift.Notice
}

func newWorld(t testing.TB, change ...func(*cluster.Options)) *world {
	t.Helper()
	return newWorldOn(t, controlplane.Shared(t), change...)
}

func newWorldOn(t testing.TB, plane *controlplane.ControlPlane, change ...func(*cluster.Options)) *world {
	t.Helper()
	config, err := plane.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, plane: plane, config: config, target: environments.Target{Environment: "production", Application: "web"}}
	w.own, w.namespace = plane.Namespace(t), plane.Namespace(t)
	w.agent = "agent-" + w.own
	if w.dynamic, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	mine := rest.CopyConfig(config)
	mine.UserAgent = w.agent
	log := zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)
	if os.Getenv("PAWL_TEST_LOG") != "" {
		log = log.Level(zerolog.DebugLevel)
	}
	w.options = cluster.Options{Config: mine, Namespace: w.own, Owner: w.agent, Notify: w.notice, Log: log}
	for _, f := range change {
		f(&w.options)
	}
	w.start()
	return w
}

// start starts the edge, as a new process would.
func (w *world) start() {
	w.t.Helper()
	c, err := cluster.New(w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cluster = c
	w.t.Cleanup(c.Close)
}

func (w *world) restart() {
	w.t.Helper()
	w.cluster.Close()
	w.mu.Lock()
	w.notices = nil
	w.mu.Unlock()
	w.start()
}

func (w *world) notice(n drift.Notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices = append(w.notices, n)
}

// all are the notices so far.
func (w *world) all() []drift.Notice {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.notices)
}

// drifts are the notices about drift so far.
func (w *world) drifts() []drift.Drift {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []drift.Drift
	for _, n := range w.notices {
		if n.Drift != nil {
			found = append(found, *n.Drift)
		}
	}
	return found
}

// health is what was told last of the world's target.
func (w *world) health() drift.Health {
	w.mu.Lock()
	defer w.mu.Unlock()
	var last drift.Health
	for _, n := range w.notices {
		if n.Health != nil && n.Target == w.target {
			last = *n.Health
		}
	}
	return last
}

// eventually waits until a condition holds; it says what it saw.
func (w *world) eventually(what string, holds func() (bool, string)) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, saw := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s did not happen in %s; last seen: %s", what, patience, saw)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (w *world) healthBecomes(status drift.HealthStatus) drift.Health {
	w.t.Helper()
	w.eventually("health "+string(status), func() (bool, string) {
		h := w.health()
		return h.Status == status, fmt.Sprintf("%+v", h)
	})
	return w.health()
}

var releases = struct {
	once  sync.Once
	trust policies.Trust
	keyID string
	err   error
}{}

// verified makes a verified release of YAML documents, in which {ns} is the
// world's namespace. The images are judged like all others.
func (w *world) verified(documents ...string) policies.Verified {
	w.t.Helper()
	return w.verifiedFor(w.target, documents...)
}

func (w *world) verifiedFor(target environments.Target, documents ...string) policies.Verified {
	w.t.Helper()
	release := render.Release{Target: target, Commit: gitsync.Commit(strings.Repeat("8", 40))}
	sum := sha256.New()
	for _, d := range documents {
		for _, text := range strings.Split(strings.ReplaceAll(d, "{ns}", w.namespace), "\n---\n") {
			sum.Write([]byte(text))
			release.Objects = append(release.Objects, object(w.t, text))
		}
	}
	release.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return judged(w.t, release)
}

func judged(t testing.TB, release render.Release) policies.Verified {
	t.Helper()
	releases.once.Do(func() {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			releases.err = err
			return
		}
		der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
		if err != nil {
			releases.err = err
			return
		}
		key := policies.Key{Name: "release", PEM: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
		releases.trust, releases.err = policies.NewTrust([]policies.Rule{{Images: "**", Keys: []policies.Key{key}}})
		if releases.err == nil {
			releases.keyID = releases.trust.Signers("ghcr.io/acme/web")[0].ID()
		}
	})
	if releases.err != nil {
		t.Fatal(releases.err)
	}
	evidence := map[string]policies.Evidence{}
	for _, o := range release.Objects {
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		for i, c := range containers {
			reference := c.(map[string]any)["image"].(string)
			repository, digest, _ := strings.Cut(reference, "@")
			image := render.Image{Reference: reference, Repository: repository, Digest: digest, Object: drift.IDOf(o).String(), Field: fmt.Sprintf("spec.template.spec.containers[%d].image", i)}
			release.Images = append(release.Images, image)
			evidence[image.Pinned()] = policies.Evidence{Image: image.Pinned(), Exists: true, Signatures: []policies.Signature{{By: policies.SignedBy{Signer: "release", ID: releases.keyID}, Scheme: policies.SchemeTag}}}
		}
	}
	v, err := policies.Judge(release, policies.Demands{Trust: releases.trust}, policies.Findings{Images: evidence})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	content, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(content); err != nil {
		t.Fatal(err)
	}
	return o
}

// apply applies and expects it to work.
func (w *world) apply(documents ...string) drift.Applied {
	w.t.Helper()
	applied, err := w.cluster.Apply(w.t.Context(), w.verified(documents...), drift.Terms{Environment: w.settings})
	if err != nil {
		w.t.Fatal(err)
	}
	return applied
}

// refused applies and expects an error, without any write since.
func (w *world) refused(documents ...string) error {
	w.t.Helper()
	before := w.mark()
	_, err := w.cluster.Apply(w.t.Context(), w.verified(documents...), drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}})
	if err == nil {
		w.t.Fatal("it was applied; want a refusal")
	}
	if writes := w.writesSince(before); len(writes) > 0 {
		w.t.Fatalf("refused with %v, and yet written: %v", err, writes)
	}
	return err
}

func (w *world) mark() controlplane.Marker {
	w.t.Helper()
	m, err := w.plane.Audit().Mark()
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// requestsSince are all requests that the agent made since, by the API
// server's audit log.
func (w *world) requestsSince(m controlplane.Marker) controlplane.Events {
	w.t.Helper()
	events, err := w.plane.Audit().Since(m)
	if err != nil {
		w.t.Fatal(err)
	}
	var mine controlplane.Events
	for _, e := range events {
		if e.UserAgent == w.agent {
			mine = append(mine, e)
		}
	}
	return mine
}

func (w *world) writesSince(m controlplane.Marker) controlplane.Events {
	w.t.Helper()
	return w.requestsSince(m).Writes("")
}

var resources = map[string]schema.GroupVersionResource{
	"ConfigMap":                {Version: "v1", Resource: "configmaps"},
	"Secret":                   {Version: "v1", Resource: "secrets"},
	"Namespace":                {Version: "v1", Resource: "namespaces"},
	"Event":                    {Version: "v1", Resource: "events"},
	"Service":                  {Version: "v1", Resource: "services"},
	"PersistentVolumeClaim":    {Version: "v1", Resource: "persistentvolumeclaims"},
	"Deployment":               {Group: "apps", Version: "v1", Resource: "deployments"},
	"Job":                      {Group: "batch", Version: "v1", Resource: "jobs"},
	"ReplicaSet":               {Group: "apps", Version: "v1", Resource: "replicasets"},
	"ResourceQuota":            {Version: "v1", Resource: "resourcequotas"},
	"CustomResourceDefinition": {Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
}

// at addresses an object, "ConfigMap/name", in the world's namespace.
func (w *world) at(object string) (dynamic.ResourceInterface, string) {
	w.t.Helper()
	kind, name, _ := strings.Cut(object, "/")
	gvr, ok := resources[kind]
	if !ok {
		w.t.Fatalf("what is a %s?", kind)
	}
	if kind == "Namespace" || kind == "CustomResourceDefinition" {
		return w.dynamic.Resource(gvr), name
	}
	return w.dynamic.Resource(gvr).Namespace(w.namespace), name
}

func (w *world) get(object string) *unstructured.Unstructured {
	w.t.Helper()
	client, name := w.at(object)
	o, err := client.Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// lookup returns nil for what is not there.
func (w *world) lookup(object string) *unstructured.Unstructured {
	w.t.Helper()
	client, name := w.at(object)
	o, err := client.Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return o
}

// edit changes an object as kubectl edit would.
func (w *world) edit(object, mergePatch string) *unstructured.Unstructured {
	w.t.Helper()
	client, name := w.at(object)
	o, err := client.Patch(context.Background(), name, types.MergePatchType, []byte(mergePatch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) delete(object string) {
	w.t.Helper()
	client, name := w.at(object)
	if err := client.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// create makes an object as somebody else.
func (w *world) create(text string) *unstructured.Unstructured {
	w.t.Helper()
	o := object(w.t, strings.ReplaceAll(text, "{ns}", w.namespace))
	client, _ := w.at(o.GetKind() + "/" + o.GetName())
	created, err := client.Create(context.Background(), o, metav1.CreateOptions{FieldManager: "kubectl-create"})
	if err != nil {
		w.t.Fatal(err)
	}
	return created
}

func configMap(name string, pairs ...string) string {
	data := ""
	for i := 0; i < len(pairs); i += 2 {
		data += fmt.Sprintf("\n  %s: %q", pairs[i], pairs[i+1])
	}
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: '{ns}'}\ndata:%s\n", name, data)
}

const digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// deployment is one of the given replicas, with pod annotations for the simulated node.
func deployment(name string, replicas int, annotations string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: '{ns}'}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}, annotations: {%[3]s}}
    spec:
      containers:
      - name: web
        image: ghcr.io/acme/web@%[4]s
        ports: [{containerPort: 8080}]
        resources: {limits: {cpu: 1000m, memory: 1024Mi}}
`, name, replicas, annotations, digestA)
}

// actions are the steps that did something, in words.
func actions(steps []drift.Step) []string {
	var found []string
	for _, s := range steps {
		found = append(found, fmt.Sprintf("%s %s/%s: %s", s.Action, s.Object.Kind, s.Object.Name, s.Reason))
	}
	return found
}

var podResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

func (w *world) pods() ([]string, error) {
	list, err := w.dynamic.Resource(podResource).Namespace(w.namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range list.Items {
		names = append(names, p.GetName())
	}
	return names, nil
}

func (w *world) deletePod(name string) error {
	now := int64(0)
	return w.dynamic.Resource(podResource).Namespace(w.namespace).Delete(context.Background(), name, metav1.DeleteOptions{GracePeriodSeconds: &now})
}
