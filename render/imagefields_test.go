package render_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

func widget(fields ...string) render.ImageFields {
	return render.ImageFields{Kinds: []render.KindFields{{Group: "example.org", Kind: "Widget", Fields: fields}}}
}

// verdictOn renders one custom resource and says in a word how that ended.
func verdictOn(t *testing.T, fields render.ImageFields, manifest string) (string, error) {
	t.Helper()
	result, err := render.New(render.Options{Images: fields}).Render(t.Context(), at(trees.FromMap(oneObject(manifest))), dev)
	var unpinned *render.UnpinnedError
	var refused *render.Error
	switch {
	case errors.As(err, &unpinned):
		return "unpinned " + unpinned.Unpinned[0].Field, err
	case errors.As(err, &refused):
		return "refused " + refused.Field, err
	case err != nil:
		return err.Error(), err
	}
	var all []string
	for _, image := range result.Release.Images {
		all = append(all, "pinned "+image.Field)
	}
	for _, image := range result.Release.Unlisted {
		all = append(all, "unlisted "+image.Field)
	}
	return strings.Join(all, ", "), nil
}

// catalogue 46: a field that is listed is an image, whatever it is called, and
// has no excuse.
func TestListedFieldsAreImages(t *testing.T) {
	t.Parallel()
	pinned := "ghcr.io/acme/db:16@" + digest("a")
	for _, c := range []struct{ what, field, spec, want string }{
		{"pinned", "spec.runner", "  runner: " + pinned, "pinned spec.runner"},
		{"by tag", "spec.runner", "  runner: ghcr.io/acme/db:16", "unpinned spec.runner"},
		{"a short name", "spec.runner", "  runner: postgres", "unpinned spec.runner"},
		{"in a list", "spec.steps[*].container", "  steps: [{container: " + pinned + "}, {container: db}]", "unpinned spec.steps[1].container"},
		{"a list of texts", "spec.steps[*]", "  steps: [" + pinned + ", db]", "unpinned spec.steps[1]"},
		{"a list in a list", "spec.a[*][*]", "  a: [[" + pinned + "]]", "pinned spec.a[0][0]"},
		{"in parts", "spec.runner", "  runner: {repository: ghcr.io/acme/db, digest: \"" + digest("a") + "\"}", "pinned spec.runner"},
		{"a key with dots", "spec.options[example.org/runner]", "  options: {example.org/runner: db}", "unpinned spec.options[example.org/runner]"},
		{"taken by its name, too", "spec.image", "  image: " + pinned, "pinned spec.image"},
		{"items taken by their name, too", "spec.images[*]", "  images: [" + pinned + "]", "pinned spec.images[0]"},
		{"not there", "spec.runner", "  other: x", ""},
		{"empty", "spec.runner", "  runner: \"\"", ""},
		{"null", "spec.runner", "  runner: null", ""},
		{"a URL", "spec.runner", "  runner: https://example.org/x", "refused spec.runner"},
		{"a pattern", "spec.runner", "  runner: \"ghcr.io/acme/*\"", "refused spec.runner"},
		{"a number", "spec.runner", "  runner: 16", "refused spec.runner"},
		{"a list where a text belongs", "spec.runner", "  runner: [db]", "refused spec.runner"},
		{"parts of nothing", "spec.runner", "  runner: {size: 3}", "refused spec.runner"},
		{"spaces", "spec.runner", "  runner: \"a b\"", "refused spec.runner"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			if got, err := verdictOn(t, widget(c.field), custom+c.spec+"\n"); got != c.want {
				t.Errorf("%q, want %q (%v)", got, c.want, err)
			}
		})
	}
}

// catalogue 46: what looks like an image where nobody said that one stands is
// refused with the way to list it, or reported, or ignored.
func TestUnlistedImagesAreRefusedOrReported(t *testing.T) {
	t.Parallel()
	pinned := "ghcr.io/acme/db@" + digest("a")
	for _, c := range []struct{ what, spec, field string }{
		{"a digest", "  runner: " + pinned, "spec.runner"},
		{"a digest of a short name", "  runner: db@" + digest("a"), "spec.runner"},
		{"a tag", "  runner: ghcr.io/acme/db:16", "spec.runner"},
		{"a tag at a port", "  runner: registry:5000/db:16", "spec.runner"},
		{"a tag at an address", "  runner: 10.0.0.1:5000/db:16", "spec.runner"},
		{"in a list", "  steps: [{use: ghcr.io/acme/db:16}]", "spec.steps[0].use"},
		{"under a key with dots", "  options: {example.org/runner: ghcr.io/acme/db:16}", "spec.options[example.org/runner]"},
		{"in parts", "  proxy: {repository: ghcr.io/acme/db, tag: v16}", "spec.proxy"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			got, err := verdictOn(t, render.ImageFields{}, custom+c.spec+"\n")
			listed := strings.ReplaceAll(c.field, "[0]", "[*]")
			if got != "refused "+c.field || !strings.Contains(err.Error(), fmt.Sprintf(`group "example.org", kind "Widget" and the field %q`, listed)) || !strings.Contains(err.Error(), "overlays/dev/object.yaml:1: Widget w") {
				t.Errorf("%q, want %s refused, with the way out: %v", got, c.field, err)
			}
			doc := environments.NewDocument("pawl.yaml")
			environments.ImageFields{Group: "example.org", Kind: "Widget", Fields: []string{listed}}.Check(doc, "spec.images[0]")
			if err := doc.Err(); err != nil {
				t.Errorf("the configuration does not take what the message says: %v", err)
			}
			if got, err := verdictOn(t, render.ImageFields{ReportUnlisted: true}, custom+c.spec+"\n"); got != "unlisted "+c.field {
				t.Errorf("%q, want it reported (%v)", got, err)
			}
			if got, err := verdictOn(t, widget(listed), custom+c.spec+"\n"); !strings.HasPrefix(got, "pinned") && !strings.HasPrefix(got, "unpinned") {
				t.Errorf("%q, want it taken as the message says (%v)", got, err)
			}
			ignore := render.ImageFields{Kinds: []render.KindFields{{Group: "example.org", Kind: "Widget", Ignore: []string{listed}}}}
			if got, err := verdictOn(t, ignore, custom+c.spec+"\n"); got != "" {
				t.Errorf("%q, want it ignored (%v)", got, err)
			}
		})
	}
}

// catalogue 46: custom resources as people have them are not in the way.
func TestUsualCustomResourcesAreNotTakenForImages(t *testing.T) {
	t.Parallel()
	for name, manifest := range map[string]string{
		"Certificate":    "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: w}\nspec: {secretName: tls, dnsNames: [shop.example.org, \"*.example.org\"], issuerRef: {name: letsencrypt, kind: ClusterIssuer, group: cert-manager.io}, uris: [\"spiffe://cluster.local/ns/shop/sa/web\"]}\n",
		"ClusterIssuer":  "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: w}\nspec: {acme: {server: \"https://acme-v02.api.letsencrypt.org/directory\", email: ops@example.org}}\n",
		"ServiceMonitor": "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: w}\nspec: {endpoints: [{port: http, path: /metrics, interval: 30s, proxyUrl: \"http://proxy.example.org:3128\", relabelings: [{sourceLabels: [__address__], regex: \"(.+):(\\\\d+)\", replacement: \"$1:9090\"}]}]}\n",
		"PrometheusRule": "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: w}\nspec: {groups: [{name: a, rules: [{alert: A, expr: \"sum(rate(http_requests_total{job=\\\"web\\\"}[5m])) > 1\", annotations: {runbook_url: \"https://runbooks.example.org/a\"}}]}]}\n",
		"HTTPRoute":      "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: w}\nspec: {hostnames: [shop.example.org], rules: [{matches: [{path: {value: /api/v1:batch}}], backendRefs: [{name: web, port: 80}]}]}\n",
		"IngressRoute":   "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {name: w}\nspec: {routes: [{match: \"Host(`shop.example.org`) && PathPrefix(`/api`)\", kind: Rule}]}\n",
		"Kafka":          "apiVersion: kafka.strimzi.io/v1beta2\nkind: Kafka\nmetadata: {name: w}\nspec: {kafka: {version: 3.9.0, bootstrap: \"kafka.example.org:9092,kafka2.example.org:9092\", listeners: [{name: tls, port: 9093}], config: {log.dirs: /var/lib/kafka}}}\n",
		"ExternalSecret": "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: w}\nspec: {data: [{secretKey: a, remoteRef: {key: projects/p/secrets/s, version: latest}}], arn: \"arn:aws:iam::123456789012:role/shop\"}\n",
		"GitRepository":  "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: w}\nspec: {url: \"ssh://git@github.com/acme/web\", other: \"git@github.com:acme/web.git\", ref: {branch: main}, interval: 1m}\n",
		"OCIRepository":  "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: w}\nspec: {url: \"oci://ghcr.io/acme/manifests\", ref: {tag: latest}}\n",
		"Database":       "apiVersion: example.org/v1\nkind: Database\nmetadata: {name: w}\nspec: {host: db.example.org, dsn: \"postgres://u@db.example.org:5432/shop?sslmode=require\", address: \"db.example.org:5432/shop\", cidr: 10.0.0.0/8, v6: \"2001:db8::1/64\", time: \"2026-11-20T10:00:00Z\", window: \"Mon-Thu 08:00-16:00\", path: /data/a.b/c:d, topic: acme/orders:v1}\n",
		"Rollout":        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: w}\nspec: {template: {spec: {containers: [{name: a, image: \"ghcr.io/acme/a@" + digest("a") + "\", env: [{name: SIDECAR, value: \"ghcr.io/acme/b:1\"}], args: [\"--image=ghcr.io/acme/b:1\", \"ghcr.io/acme/b:1\"]}]}}}\n",
	} {
		got, err := verdictOn(t, render.ImageFields{}, manifest)
		if err != nil || strings.Contains(got, "unlisted") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// Kubernetes' own kinds are known: no configuration hides an image in them, and
// what else looks like one there runs nothing by itself.
func TestBuiltInKindsCannotBeIgnored(t *testing.T) {
	t.Parallel()
	ignore := render.ImageFields{Kinds: []render.KindFields{{Group: "apps", Kind: "Deployment", Ignore: []string{"spec.template.spec.containers[*].image"}}}}
	if got, _ := verdictOn(t, ignore, deployment("web", "ghcr.io/acme/web:1")); got != "unpinned spec.template.spec.containers[0].image" {
		t.Errorf("%q, want the image found", got)
	}
}
