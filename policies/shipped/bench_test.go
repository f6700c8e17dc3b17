package shipped_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/policies/shipped"
	"github.com/pawl-dev/pawl/render"
)

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		compileAll(b)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	all := compileAll(b)
	for _, n := range []int{30, 500} {
		in, err := rego.NewInput(facts(b, n))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, p := range all {
					if got := p.Evaluate(b.Context(), in, rego.Limits{Time: time.Minute}); got.Problem != "" || got.Denied != nil {
						b.Fatalf("%+v", got)
					}
				}
			}
		})
	}
}

func BenchmarkInput(b *testing.B) {
	for _, n := range []int{30, 500} {
		f := facts(b, n)
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rego.NewInput(f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func compileAll(tb testing.TB) []*rego.Policy {
	tb.Helper()
	var all []*rego.Policy
	for _, name := range shipped.Names() {
		files, err := shipped.Files(name)
		if err != nil {
			tb.Fatal(err)
		}
		p, err := pool.Compile(name, files, parameters[name])
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// facts are of a good release: a third each of Deployments, Services and ConfigMaps.
func facts(tb testing.TB, n int) policies.Facts {
	tb.Helper()
	r := render.Release{Target: environments.Target{Environment: "production"}, Digest: "sha256:ab"}
	for i := range n {
		text := []string{deployment, service, configMap}[i%3]
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(fmt.Appendf(nil, text, i), &o.Object); err != nil {
			tb.Fatal(err)
		}
		r.Objects = append(r.Objects, o)
		if o.GetKind() == "Deployment" {
			r.Images = append(r.Images, render.Image{Repository: "ghcr.io/acme/web", Digest: fmt.Sprintf("sha256:%064d", i), Object: "Deployment shop/web"})
		}
	}
	return policies.Facts{Release: r, At: time.Unix(0, 0)}
}

const (
	deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-%d, namespace: shop, labels: {app.kubernetes.io/name: web, app.kubernetes.io/part-of: shop}}
spec:
  replicas: 3
  selector: {matchLabels: {app.kubernetes.io/name: web}}
  template:
    metadata: {labels: {app.kubernetes.io/name: web}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: web
          image: ghcr.io/acme/web:1.9
          args: [--port=8080, --log=json]
          env: [{name: LOG_LEVEL, value: info}, {name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]
          ports: [{name: http, containerPort: 8080}]
          resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 64Mi}}
          readinessProbe: {httpGet: {path: /ready, port: http}}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: config, mountPath: /etc/web}]
        - name: proxy
          image: ghcr.io/acme/proxy:2
          resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 64Mi}}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumes: [{name: config, configMap: {name: web}}, {name: tmp, emptyDir: {}}]
`
	service = `
apiVersion: v1
kind: Service
metadata: {name: web-%d, namespace: shop}
spec: {selector: {app.kubernetes.io/name: web}, ports: [{name: http, port: 80, targetPort: http}]}
`
	configMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: web-%d, namespace: shop}
data: {color: blue, config.yaml: "log: json\nport: 8080\n"}
`
)
