package policies_test

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

func ExampleJudge() {
	trust, err := policies.NewTrust([]policies.Rule{{
		Images: "ghcr.io/acme/*",
		Keys: []policies.Key{{Name: "release", PEM: []byte(`-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEIV7TKuMsZcaxkm4q44UlLWuYmRdu
uVaSoMIK2akXocRMjChZghiGsS6I1N8q/ebpP9F//VVdLDBNtgCXp/24lA==
-----END PUBLIC KEY-----
`)}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	web := render.Image{
		Reference:  "ghcr.io/acme/web:1.9@" + digestB,
		Repository: "ghcr.io/acme/web",
		Digest:     digestB,
		Object:     "Deployment shop/web",
		Field:      "spec.template.spec.containers[0].image",
	}
	release := render.Release{
		Target:  environments.Target{Environment: "production"},
		Objects: []*unstructured.Unstructured{{Object: map[string]any{"kind": "Deployment"}}},
		Images:  []render.Image{web},
		Digest:  "sha256:release",
	}

	evidence := policies.Evidence{Image: web.Pinned(), Exists: true}
	_, err = policies.Judge(release, policies.Demands{Trust: trust}, policies.Findings{Images: map[string]policies.Evidence{web.Pinned(): evidence}})
	fmt.Println(err)

	signer := trust.Signers(web.Repository)[0]
	evidence.Signatures = []policies.Signature{{By: policies.SignedBy{Signer: signer.Name(), ID: signer.ID()}, Scheme: policies.SchemeTag}}
	verified, err := policies.Judge(release, policies.Demands{Trust: trust}, policies.Findings{Images: map[string]policies.Evidence{web.Pinned(): evidence}})
	fmt.Println(verified.IsZero(), err)
	// Output:
	// production: image ghcr.io/acme/web@sha256:77aa77aa77aa… has no signature by the key "release" (Deployment shop/web, spec.template.spec.containers[0].image). Sign it (cosign sign --key … ghcr.io/acme/web@sha256:77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa) or add its signer to the trust of the agent's configuration.
	// false <nil>
}
