package main

import (
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/canary"
)

// replicas denies what is not there twice.
const replicas = `package replicas

deny contains {"msg": "has fewer than 2 replicas", "object": it} if {
	some it in input.objects
	it.kind == "Deployment"
	it.spec.replicas < 2
}
`

const policyFile = "policies/replicas/replicas.rego"

// underPolicy is a repo with that policy.
func underPolicy(image string) map[string]string {
	files := repo("one", 1, image)
	files["pawl.yaml"] = strings.Replace(files["pawl.yaml"], "  environments:", "  policies: [policies/replicas]\n  environments:", 1)
	files[policyFile] = replicas
	return files
}

// catalogue 122, 123, 124
func TestAPolicyOfTheRepoIsKeptByEveryCommit(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	lonely := canary.Listen(t)
	good := underPolicy(s.image("web", "1").String())
	s.open(good)
	const file = "overlays/dev/objects.yaml"
	bad := strings.Replace(good[file], "replicas: 2", "replicas: 1", 1)

	mark := s.mark()
	denied := s.red(s.commit("one replica", map[string]string{file: bad}), "dev",
		"PolicyDenied", "policies/replicas", "has fewer than 2 replicas", "Deployment "+s.namespace("dev")+"/web")
	notes, _, err := s.Client().Checks.ListCheckRunAnnotations(t.Context(), "acme", s.name, denied.GetID(), &github.ListOptions{})
	s.must(err)
	line := 1 + strings.Count(bad[:strings.Index(bad, "apiVersion: apps/v1")], "\n")
	if len(notes) != 1 || notes[0].GetPath() != file || notes[0].GetStartLine() != line || !strings.Contains(notes[0].GetMessage(), "fewer than 2 replicas") {
		t.Errorf("the annotations are %v; want one on %s:%d", notes, file, line)
	}
	weak := strings.Replace(replicas, "< 2", "< 1", 1)
	for says, weaken := range map[string]map[string]string{
		"by another text":   {policyFile: weak},
		"by naming none":    {"pawl.yaml": pipeline("dev")},
		"by another folder": {"pawl.yaml": strings.Replace(good["pawl.yaml"], "policies/replicas", "policies/weak", 1), "policies/weak/weak.rego": weak},
	} {
		weaken[file] = bad
		s.red(s.commit("weakens the policy "+says+" and breaks it", weaken), "dev", "PolicyDenied", "policies/replicas before this commit", "fewer than 2")
		s.green(s.commit("mended", good), "dev")
	}
	for says, broken := range map[string]struct{ policy, reason string }{
		"no policy":            {"", "DemandsInvalid"},
		"no Rego":              {"deny everything", "DemandsInvalid"},
		"no rule":              {"package replicas\n\nallow := true\n", "DemandsInvalid"},
		"a misspelt rule":      {strings.Replace(replicas, "deny", "denny", 1), "DemandsInvalid"},
		"a field of no object": {strings.Replace(replicas, "input.objects", "input.object", 1), "DemandsInvalid"},
		"a text for a list":    {"package replicas\n\ndeny := \"true\"\n", "PolicyDenied"},
		"an undefined rule":    {"package replicas\n\ndeny := input.time if input.digest == \"none\"\n", "PolicyDenied"},
		"an error":             {"package replicas\n\ndeny contains \"x\" if to_number(\"x\") == 1\n", "PolicyDenied"},
		"a call":               {"package replicas\n\ndeny contains \"x\" if http.send({\"method\": \"get\", \"url\": \"http://" + lonely + "\"}).status_code == 200\n", "DemandsInvalid"},
		"a lookup":             {"package replicas\n\ndeny contains \"x\" if net.lookup_ip_addr(\"localhost\")\n", "DemandsInvalid"},
		"a look at the agent":  {"package replicas\n\ndeny contains \"x\" if opa.runtime().env.HOME\n", "DemandsInvalid"},
		"a call for a call":    {"package replicas\n\nnothing := 1\n\ndeny contains \"x\" if count([1]) == 2 with count as http.send\n", "DemandsInvalid"},
	} {
		commit := map[string]string{policyFile: broken.policy}
		var gone []string
		if broken.policy == "" {
			commit, gone = nil, []string{policyFile}
		}
		s.red(s.commit(says, commit, gone...), "dev", broken.reason, "policies/replicas")
		s.green(s.commit("mended: "+says, good), "dev")
	}
	s.unwritten(mark)

	// Relaxing a policy, and then using that, are two commits.
	s.green(s.commit("one is enough", map[string]string{policyFile: weak}), "dev")
	s.green(s.commit("one replica", map[string]string{file: bad}), "dev")
}

// restricted is a Deployment that meets the level restricted.
const restricted = `apiVersion: v1
kind: Namespace
metadata: {name: $NAME-dev}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NAME-dev}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: web
          image: $IMAGE
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`

func TestALevelDemandsShippedPolicies(t *testing.T) {
	s := tell(t, testworld.ShopOptions{Configure: func(_ *testworld.Shop, c *agent.Config) error {
		c.Policies = []demands.PolicyConfig{{Name: "restricted-pods", Shipped: "restricted-pods"}, {Name: "no-plaintext-secrets", Shipped: "no-plaintext-secrets"}}
		c.Levels = []demands.LevelConfig{{Name: "standard", Policies: []string{"restricted-pods"}}, {Name: "pci", Policies: []string{"no-plaintext-secrets"}}}
		c.Environments[0].Level = "standard"
		return nil
	}})
	const file = "overlays/dev/objects.yaml"
	files := repo("", 0, "")
	files[file] = strings.Replace(restricted, "$IMAGE", s.image("web", "1").String(), 1)
	s.open(files)

	mark := s.mark()
	with := func(old, new string) map[string]string {
		return map[string]string{file: strings.Replace(files[file], old, new, 1)}
	}
	s.red(s.commit("as root", with("runAsNonRoot: true", "runAsNonRoot: false")), "dev", "PolicyDenied", "restricted-pods", "runAsNonRoot")
	s.red(s.commit("privileged", with("allowPrivilegeEscalation: false", "privileged: true")), "dev", "PolicyDenied", "restricted-pods", "privileged")
	s.red(s.commit("on the host's network", with("      securityContext", "      hostNetwork: true\n      securityContext")), "dev", "PolicyDenied", "restricted-pods", "hostNetwork")

	// What pawl.yaml names is added, never traded.
	level := func(name string) string {
		return strings.Replace(pipeline("dev"), "name: dev", "name: dev\n      level: "+name, 1)
	}
	secret := files[file] + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: $NAME-dev}\nstringData: {password: planted}\n"
	both := s.red(s.commit("a Secret in the clear, as root", map[string]string{"pawl.yaml": level("pci"), file: strings.Replace(secret, "runAsNonRoot: true", "runAsNonRoot: false", 1)}), "dev",
		"PolicyDenied", "restricted-pods", "no-plaintext-secrets")
	if strings.Contains(both.GetOutput().GetSummary(), "planted") || strings.Contains(s.agent.Tail(100), "planted") {
		t.Error("the Secret's value is told")
	}
	s.red(s.commit("a level that nobody knows", map[string]string{"pawl.yaml": level("pcy"), file: files[file]}), "dev", "LevelUnknown", `did you mean "pci"`)
	s.unwritten(mark)
	s.green(s.commit("mended", map[string]string{"pawl.yaml": level("pci")}), "dev")
}
