package promote

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

func state(targets ...TargetState) EnvironmentState {
	s := at("production", targets...)
	s.StartedAt = noon
	return s
}

func staged(app string, stage Stage) TargetState {
	return TargetState{Target: environments.Target{Environment: "production", Application: app}, Stage: stage}
}

func refusedImage(object, field string) policies.ImageRefusal {
	return policies.ImageRefusal{
		Image: "ghcr.io/acme/web@" + digest("3"), Object: object, Field: field,
		Demanded: `a signature by the key "release"`, Found: `has no signature by the key "release"`, Hint: "Sign it (cosign sign --key …)",
	}
}

func TestChecks(t *testing.T) {
	t.Parallel()
	web, api := healthy("production", "web", image("web", "3")), healthy("production", "api", image("api", "5"))

	unhealthy := healthy("production", "web", image("web", "3"))
	unhealthy.Stage = StageFailed
	unhealthy.Health = drift.Health{Status: drift.Failed, Objects: []drift.ObjectHealth{
		{Object: drift.ObjectID{Kind: "Service", Namespace: "shop", Name: "web"}, Status: drift.Current},
		{Object: drift.ObjectID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}, Status: drift.Failed, Message: "0 of 2 pods ready"},
	}}
	unhealthy.Problem = Problem{Reason: "Unhealthy", Text: "web did not become ready\nPod web-7c9d-x2x: CrashLoopBackOff, exit 1: `listen tcp :8080`", Hint: "Fix forward on main, or merge a revert."}

	refused := staged("api", StageFailed)
	refused.Images = []render.Image{image("api", "7")}
	refused.Problem = Problem{
		Reason: "ImageRefused",
		Text:   "production/api: image ghcr.io/acme/api@sha256:7777… has no signature by the key \"release\" (Deployment shop/api)",
		Hint:   "Sign it (cosign sign --key …), or add its signer to the trust.",
	}
	unpinned := staged("cart", StageFailed)
	unpinned.Unpinned = []render.Image{image("cart", "")}
	unpinned.Problem = Problem{Text: "apps/cart/overlays/production/kustomization.yaml:14: image ghcr.io/acme/cart:main is not pinned", Hint: `Run "pawl pin production/cart" to write its digest.`}
	retrying := staged("api", StageRetrying)
	retrying.Problem = Problem{Text: "ghcr.io does not answer: connection refused", Hint: ""}
	retrying.Retry = Retry{Since: noon, First: time.Second, Most: time.Minute}
	exhausted := retrying
	exhausted.Stage, exhausted.Target.Application, exhausted.Retry.Most, exhausted.Retry.Exhausted = StageFailed, "cart", 10*time.Minute, 20
	unsigned := staged("proxy", StageFailed)
	unsigned.Problem = Problem{Text: "ghcr.io/acme/proxy has no signature", Hint: "Sign it."}
	unsigned.Retry = Retry{Since: noon, First: 30 * time.Second, Most: 10 * time.Minute}
	waiting := healthy("production", "web", image("web", "3"))
	waiting.Stage = StageWaiting
	waiting.Health = drift.Health{Status: drift.Progressing, Objects: []drift.ObjectHealth{
		{Object: drift.ObjectID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}, Status: drift.Progressing, Message: "1 of 2 pods ready"},
	}}
	evil := staged("web", StageFailed)
	evil.Problem = Problem{Text: "@acme/sre <script>\n| fixes #1 | \x1b[31m", Hint: "](http://evil.example)"}
	attested := healthy("production", "web", image("web", "3"), image("proxy", "4"))
	for i := range attested.Evidence {
		attested.Evidence[i].Signatures[0].By = policies.SignedBy{Signer: "release.yml@main", ID: "x", Issuer: "https://token.actions.githubusercontent.com"}
		attested.Evidence[i].Attestations = []policies.Attestation{
			{Type: "https://slsa.dev/provenance/v1"}, {Type: "https://cyclonedx.org/bom"}, {Type: "https://slsa.dev/provenance/v1"}, {Type: "https://acme.example/approved/v1"},
		}
	}
	attested.Policies = []policies.PolicyResult{
		{Policy: "restricted-pods"}, {Policy: "probes", Warned: []policies.PolicyMessage{
			{Rule: "warn", Text: "has no readiness probe", Object: "Deployment shop/web"}, {Rule: "warn", Text: "has no readiness probe", Object: "Deployment shop/web"},
		}}, {Policy: "names"},
	}
	mixed := attested
	mixed.Target.Application, mixed.Evidence = "cart", []policies.Evidence{attested.Evidence[0], signed(image("proxy", "4"))}
	mixed.Policies = nil

	denied := staged("web", StageFailed)
	denied.Images = []render.Image{image("web", "3")}
	denied.Policies = []policies.PolicyResult{{Policy: "restricted-pods", Denied: []policies.PolicyMessage{{Rule: "deny", Text: "runs as root", Object: "Deployment shop/web"}}}, {Policy: "names"}}
	denied.Problem = Problem{Reason: "Refused", Text: "production/web: refused for 3 reasons\n  …", Hint: "not shown", Err: fmt.Errorf("judge: %w", &policies.Refusal{
		Target: denied.Target,
		Images: []policies.ImageRefusal{
			refusedImage("Deployment shop/web", "spec.template.spec.containers[0].image"), refusedImage("Job shop/migrate", "spec.template.spec.containers[0].image"),
		},
		Denials: []policies.Denial{
			{Kind: policies.DeniedByPolicy, Subject: "restricted-pods", Demanded: "that the policy restricted-pods denies nothing", Found: "denies Deployment shop/web: runs as root (rule deny)", Hint: "Change what it names", Object: "Deployment shop/web", File: "apps/web/base/deployment.yaml", Line: 12},
			{Kind: policies.DeniedByApprovals, Subject: "pull request #12", Demanded: "2 approvals by others than the author", Found: "has 1 (bob approved 77be1c2, which is not the head)", Hint: "Bring it by a pull request that 2 people other than its author approve before it is merged"},
		},
	})}
	mean := "@acme/sre <script>| fixes #1 |\n\x1b[31m](http://evil.example)"
	evilWords := staged("web", StageFailed)
	evilWords.Policies = []policies.PolicyResult{{Policy: mean, Warned: []policies.PolicyMessage{{Text: mean, Object: mean, Image: mean}}}}
	evilWords.Problem = Problem{Text: mean, Err: &policies.Refusal{
		Images:  []policies.ImageRefusal{{Image: mean, Object: mean, Field: mean, Demanded: mean, Found: mean, Hint: mean}},
		Denials: []policies.Denial{{Kind: policies.DeniedByPolicy, Subject: mean, Demanded: mean, Found: mean, Hint: mean, File: mean}},
	}}
	noPipeline := at("production")
	noPipeline.StartedAt = noon
	noPipeline.Problem = Problem{Text: "pawl.yaml: 1 problem\n  spec.polices: unknown field; did you mean \"policies\"?", Hint: "Correct pawl.yaml; \"pawl check\" finds the same offline."}

	for name, c := range map[string]struct {
		state EnvironmentState
		want  ReportState
	}{
		"queued":      {state(staged("web", StageQueued), staged("api", StageQueued)), Queued},
		"in_progress": {state(waiting, staged("api", StageVerifying), staged("cart", StageQueued), healthy("production", "cron", image("cron", "1"))), InProgress},
		"success":     {state(web, api), Success},
		"success_one": {state(web), Success},
		"unhealthy":   {state(api, unhealthy), Failure},
		"refused":     {state(web, refused, unpinned), Failure},
		"retrying":    {state(web, retrying), InProgress},
		"stalled":     {state(web, retrying, exhausted, unsigned), Failure},
		"strangers":   {state(evil), Failure},
		"no_pipeline": {noPipeline, Failure},
		"attested":    {state(attested, mixed), Success},
		"denied":      {state(api, denied), Failure},
		// catalogue 29
		"strangers_words": {state(evilWords), Failure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Check(c.state, noon.Add(41*time.Second))
			if r.State != c.want {
				t.Errorf("state %s, want %s", r.State, c.want)
			}
			if r.State.Final() == r.CompletedAt.IsZero() {
				t.Errorf("completed at %v in the state %s", r.CompletedAt, r.State)
			}
			golden(t, "testdata/checks/"+name+".md", []byte(r.Name()+" — "+string(r.State)+": "+r.Title+"\n---\n"+r.Summary))
		})
	}
}

// catalogue 80
func TestSuccessNeedsEverything(t *testing.T) {
	t.Parallel()
	good := healthy("production", "web", image("web", "3"))
	if r := Check(state(good), noon); r.State != Success {
		t.Fatalf("the complete one is %s", r.State)
	}
	for what, spoil := range map[string]func(*TargetState){
		"no evidence":               func(s *TargetState) { s.Evidence = nil },
		"evidence of another image": func(s *TargetState) { s.Evidence[0].Image = "ghcr.io/acme/web@" + digest("4") },
		"no signature":              func(s *TargetState) { s.Evidence[0].Signatures = nil },
		"a policy that denies": func(s *TargetState) {
			s.Policies = []policies.PolicyResult{{Policy: "x", Denied: []policies.PolicyMessage{{Text: "no"}}}}
		},
		"a policy without an answer":  func(s *TargetState) { s.Policies = []policies.PolicyResult{{Policy: "x", Problem: "took too long"}} },
		"image not in the registry":   func(s *TargetState) { s.Evidence[0].Exists = false },
		"an image that is not pinned": func(s *TargetState) { s.Unpinned = []render.Image{image("x", "")} },
		"not applied":                 func(s *TargetState) { s.Applied = nil },
		"health not known":            func(s *TargetState) { s.Health = drift.Health{} },
		"health progressing":          func(s *TargetState) { s.Health.Status = drift.Progressing },
		"still waiting for health":    func(s *TargetState) { s.Stage = StageWaiting },
		"being retried":               func(s *TargetState) { s.Stage = StageRetrying },
	} {
		bad := healthy("production", "web", image("web", "3"))
		spoil(&bad)
		for _, s := range []EnvironmentState{state(bad), state(good, bad)} {
			if r := Check(s, noon); r.State == Success {
				t.Errorf("%s: reported as a success", what)
			}
		}
	}
	if r := Check(state(), noon); r.State == Success {
		t.Error("no targets: reported as a success")
	}
}

func TestChecksOfAnySizeFit(t *testing.T) {
	t.Parallel()
	var targets []TargetState
	for i := range 1000 {
		s := healthy("production", fmt.Sprintf("application-%d", i), image(fmt.Sprintf("image-%d", i), "3"), image("side", "4"))
		if i%3 == 2 {
			s.Policies = []policies.PolicyResult{{Policy: "long", Warned: []policies.PolicyMessage{{Text: strings.Repeat("warned ", 300)}}}}
			s.Stage, s.Problem = StageFailed, Problem{Text: fmt.Sprintf("target %d: %s", i, strings.Repeat("it went wrong ", 500)), Hint: "do something"}
		}
		targets = append(targets, s)
	}
	for i := range 300 {
		refusal := &policies.Refusal{Images: []policies.ImageRefusal{refusedImage("Deployment shop/web", "x")}}
		for range 10 {
			refusal.Denials = append(refusal.Denials, policies.Denial{Subject: fmt.Sprint(i), Found: strings.Repeat("@", 1000)})
		}
		targets[i*3+1].Stage, targets[i*3+1].Problem = StageFailed, Problem{Text: "refused", Err: refusal}
	}
	r := Check(state(targets...), noon)
	if len(r.Summary) > summaryLimit || r.State != Failure {
		t.Errorf("%s with a summary of %d bytes, at most %d are taken", r.State, len(r.Summary), summaryLimit)
	}
	if len([]rune(r.Title)) > titleLimit {
		t.Errorf("title of %d characters", len([]rune(r.Title)))
	}
	for _, want := range []string{"more applications do not fit here; those that failed come first", "- and ", "| application-2 |", "**What policies warn of.**", "**What was refused.**"} {
		if !strings.Contains(r.Summary, want) {
			t.Errorf("the summary does not have %q", want)
		}
	}
}

func TestSupersede(t *testing.T) {
	t.Parallel()
	r := Supersede(state(staged("web", StageWaiting)), noon)
	if r.State != Superseded || !r.State.Final() || r.CompletedAt != noon || r.Commit != head || r.Name() != "pawl / production" {
		t.Errorf("%+v", r)
	}
}
