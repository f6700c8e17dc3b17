package promote

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

const head = gitsync.Commit("8d2e1a7000000000000000000000000000000000")

var (
	noon         = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	trust, keyID = newTrust()
)

// newTrust trusts the key "release" for every image.
func newTrust() (policies.Trust, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	t, err := policies.NewTrust([]policies.Rule{{Images: "**", Keys: []policies.Key{{Name: "release", PEM: text}}}})
	if err != nil {
		panic(err)
	}
	return t, t.Signers("ghcr.io/acme/web")[0].ID()
}

// image is one as a release has it: image("web", "a") is
// ghcr.io/acme/web@sha256:aaaa…; without a digest it stands as a tag.
func image(name, digit string) render.Image {
	i := render.Image{Repository: "ghcr.io/acme/" + name, Reference: "ghcr.io/acme/" + name + ":1." + digit}
	if digit != "" {
		i.Digest = digest(digit)
		i.Reference += "@" + i.Digest
	} else {
		i.Reference = "ghcr.io/acme/" + name + ":main"
	}
	return i
}

func signed(i render.Image) policies.Evidence {
	return policies.Evidence{Image: i.Pinned(), Exists: true, Signatures: []policies.Signature{{By: policies.SignedBy{Signer: "release", ID: keyID}, Scheme: policies.SchemeBundle}}}
}

// healthy is a target that has everything.
func healthy(environment, app string, images ...render.Image) TargetState {
	t := TargetState{
		Target: environments.Target{Environment: environment, Application: app}, Stage: StageHealthy, Images: images, Since: noon,
		Applied: &drift.Applied{Steps: []drift.Step{{Action: drift.Configure}, {Action: drift.Unchanged}}},
		Health:  drift.Health{Status: drift.Current},
	}
	for _, i := range images {
		t.Evidence = append(t.Evidence, signed(i))
	}
	return t
}

// stands is a target as its overlay renders.
func stands(environment, app string, images ...render.Image) TargetState {
	t := TargetState{Target: environments.Target{Environment: environment, Application: app}, Stage: StageQueued}
	for _, i := range images {
		if i.Digest == "" {
			t.Unpinned = append(t.Unpinned, i)
		} else {
			t.Images = append(t.Images, i)
		}
	}
	return t
}

func at(environment string, targets ...TargetState) EnvironmentState {
	return EnvironmentState{Environment: environment, Commit: head, Targets: targets}
}

func pipeline(batch environments.BatchMode) environments.Pipeline {
	return environments.Pipeline{Spec: environments.Spec{Environments: []environments.Environment{
		{Name: "dev", Track: []environments.Track{{Image: "ghcr.io/acme/*", Tag: "main"}}},
		{Name: "load", After: []string{"dev"}},
		{Name: "staging", After: []string{"dev"}, Promotion: environments.Promotion{Batch: batch}},
		{Name: "production", After: []string{"staging", "load"}},
	}}}
}

// told is a decision as sentences.
func told(d Decision) string {
	var lines []string
	for _, b := range d.Batches {
		line := fmt.Sprintf("%s: %s", b.Application, b.Verdict)
		for _, m := range b.Moves {
			from := "tag"
			if m.From != "" {
				from = shortDigest(m.From)[:2]
			}
			line += fmt.Sprintf(", %s %s→%s", labelOf(m)+"/"+m.Repository[strings.LastIndexByte(m.Repository, '/')+1:], from, shortDigest(m.To)[:2])
		}
		if b.Why != "" {
			line += " (" + b.Why + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestDecide(t *testing.T) {
	t.Parallel()
	dev := func(targets ...TargetState) []EnvironmentState { return []EnvironmentState{at("dev", targets...)} }
	with := func(s TargetState, change func(*TargetState)) TargetState { change(&s); return s }
	web := healthy("dev", "web", image("web", "a"))
	old := stands("staging", "web", image("web", "0"))
	for _, c := range []struct {
		when string
		in   Input
		want string
	}{
		{"a healthy digest goes on", Input{Sources: dev(web), Destination: at("staging", old)}, "web: go, web/web 00→aa"},
		{"a tag is replaced by a digest", Input{Sources: dev(web), Destination: at("staging", stands("staging", "web", image("web", "")))}, "web: go, web/web tag→aa"},
		{"the same digest is there", Input{Sources: dev(web), Destination: at("staging", stands("staging", "web", image("web", "a")))}, "web: nothing (every digest is in staging/web already)"},
		{"an image without counterpart stays", Input{
			Sources:     dev(web),
			Destination: at("staging", stands("staging", "web", image("web", "0"), image("proxy", "0"), image("cron", ""))),
		}, "web: go, web/web 00→aa"},
		{"an image that only the source has is left out", Input{
			Sources: dev(healthy("dev", "web", image("web", "a"), image("debug", "b"))), Destination: at("staging", old),
		}, "web: go, web/web 00→aa"},
		{"images with the same name of another application are no counterpart", Input{
			Sources: dev(healthy("dev", "api", image("web", "a"))), Destination: at("staging", old),
		}, "web: wait (staging/web has no counterpart in dev)"},
		{"a destination with two digests of one repository gets one", Input{
			Sources: dev(web), Destination: at("staging", stands("staging", "web", image("web", "a"), image("web", "0"))),
		}, "web: go, web/web aa→aa"},
		{"a source with two digests of one repository says nothing", Input{
			Sources: dev(healthy("dev", "web", image("web", "a"), image("web", "b"))), Destination: at("staging", old),
		}, "web: wait (dev/web runs several digests of ghcr.io/acme/web)"},
		{"a destination without images needs nothing", Input{Sources: dev(web), Destination: at("staging", stands("staging", "web"))}, "web: nothing (staging/web has no images)"},
		{"a destination that does not render waits", Input{
			Sources:     dev(web),
			Destination: at("staging", with(stands("staging", "web"), func(s *TargetState) { s.Problem.Text = "broken" })),
		}, "web: wait (staging/web does not render)"},

		// catalogue 83
		{"a source that is still rolling out waits", Input{
			Sources: dev(with(web, func(s *TargetState) { s.Stage = StageWaiting })), Destination: at("staging", old),
		}, "web: wait (dev/web is waiting for health)"},
		{"a source that failed waits", Input{
			Sources: dev(with(web, func(s *TargetState) { s.Stage = StageFailed })), Destination: at("staging", old),
		}, "web: wait (dev/web failed)"},
		{"a source that is not known waits", Input{Destination: at("staging", old)}, "web: wait (nothing is known of dev yet)"},
		{"what was healthy at an older commit proves nothing", Input{
			Sources: []EnvironmentState{{Environment: "dev", Commit: "77be1c2", Targets: []TargetState{web}}}, Destination: at("staging", old),
		}, "web: wait (dev/web is known at 77be1c2 only, and the branch is at 8d2e1a7)"},
		{"without evidence nothing moves", Input{
			Sources: dev(with(web, func(s *TargetState) { s.Evidence = nil })), Destination: at("staging", old),
		}, "web: wait (there is no evidence that satisfies the trust for ghcr.io/acme/web@sha256:aaaaaaaaaaaa)"},
		{"evidence of another digest does not count", Input{
			Sources: dev(with(web, func(s *TargetState) { s.Evidence = []policies.Evidence{signed(image("web", "b"))} })), Destination: at("staging", old),
		}, "web: wait (there is no evidence that satisfies the trust for ghcr.io/acme/web@sha256:aaaaaaaaaaaa)"},
		{"a signature by an unknown key does not count", Input{
			Sources: dev(with(web, func(s *TargetState) {
				e := signed(image("web", "a"))
				e.Signatures[0].By.ID = "sha256:other"
				s.Evidence = []policies.Evidence{e}
			})), Destination: at("staging", old),
		}, "web: wait (there is no evidence that satisfies the trust for ghcr.io/acme/web@sha256:aaaaaaaaaaaa)"},
		{"one image without evidence holds up its application", Input{
			Sources:     dev(with(healthy("dev", "web", image("web", "a"), image("side", "b")), func(s *TargetState) { s.Evidence = s.Evidence[:1] })),
			Destination: at("staging", stands("staging", "web", image("web", "0"), image("side", "0"))),
		}, "web: wait (there is no evidence that satisfies the trust for ghcr.io/acme/side@sha256:bbbbbbbbbbbb)"},

		{"applications go one by one", Input{
			Sources:     dev(web, with(healthy("dev", "api", image("api", "b")), func(s *TargetState) { s.Stage = StageApplying })),
			Destination: at("staging", old, stands("staging", "api", image("api", "0"))),
		}, "web: go, web/web 00→aa\napi: wait (dev/api is applying)"},
		{"one pull request for the environment waits for what is on its way", Input{
			Pipeline:    pipeline(environments.BatchEnvironment),
			Sources:     dev(web, with(healthy("dev", "api", image("api", "b")), func(s *TargetState) { s.Stage = StageApplying })),
			Destination: at("staging", old, stands("staging", "api", image("api", "0"))),
		}, ": wait (dev/api is applying)"},
		{"one pull request for the environment leaves out what failed", Input{
			Pipeline:    pipeline(environments.BatchEnvironment),
			Sources:     dev(web, with(healthy("dev", "api", image("api", "b")), func(s *TargetState) { s.Stage = StageFailed })),
			Destination: at("staging", old, stands("staging", "api", image("api", "0"))),
		}, ": go, web/web 00→aa (dev/api failed)"},
		{"one pull request for the environment holds all that goes", Input{
			Pipeline:    pipeline(environments.BatchEnvironment),
			Sources:     dev(web, healthy("dev", "api", image("api", "b"))),
			Destination: at("staging", old, stands("staging", "api", image("api", "0"))),
		}, ": go, web/web 00→aa, api/api 00→bb"},

		{"a digest must have passed all environments before", Input{
			Environment: "production",
			Sources:     []EnvironmentState{at("staging", healthy("staging", "web", image("web", "a")))},
			Destination: at("production", stands("production", "web", image("web", "0"))),
		}, "web: wait (nothing is known of load yet)"},
		{"two environments before must agree", Input{
			Environment: "production",
			Sources:     []EnvironmentState{at("staging", healthy("staging", "web", image("web", "a"))), at("load", healthy("load", "web", image("web", "b")))},
			Destination: at("production", stands("production", "web", image("web", "0"))),
		}, "web: wait (staging/web and load/web run different digests of ghcr.io/acme/web)"},
		{"two environments before that agree let it pass", Input{
			Environment: "production",
			Sources:     []EnvironmentState{at("staging", healthy("staging", "web", image("web", "a"))), at("load", healthy("load", "web", image("web", "a")))},
			Destination: at("production", stands("production", "web", image("web", "0"))),
		}, "web: go, web/web 00→aa"},
		{"nothing is promoted into the first environment", Input{Environment: "dev", Sources: dev(web), Destination: at("dev", old)}, ""},
	} {
		t.Run(c.when, func(t *testing.T) {
			t.Parallel()
			c.in.Head, c.in.Trust = head, trust
			if c.in.Environment == "" {
				c.in.Environment = "staging"
			}
			if c.in.Pipeline.Spec.Environments == nil {
				c.in.Pipeline = pipeline(environments.BatchApplication)
			}
			if got := told(Decide(c.in)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestTheZeroTrustLetsNothingPass(t *testing.T) {
	t.Parallel()
	in := Input{
		Pipeline: pipeline(environments.BatchApplication), Environment: "staging", Head: head,
		Sources:     []EnvironmentState{at("dev", healthy("dev", "web", image("web", "a")))},
		Destination: at("staging", stands("staging", "web", image("web", "0"))),
	}
	got := Decide(in)
	if len(got.Batches) != 1 || got.Batches[0].Verdict != Wait || len(got.Batches[0].Moves) != 0 {
		t.Errorf("moved without trust: %s", told(got))
	}
}

func TestDecideFirst(t *testing.T) {
	t.Parallel()
	found := func(name, digit string) map[string]Candidate {
		i := image(name, digit)
		return map[string]Candidate{i.Repository: {Found: Found{Digest: i.Digest, Tag: "main"}, Evidence: signed(i)}}
	}
	old := at("dev", stands("dev", "web", image("web", "0")))
	unsigned := found("web", "a")
	unsigned["ghcr.io/acme/web"] = Candidate{Found: unsigned["ghcr.io/acme/web"].Found}
	for _, c := range []struct {
		when string
		now  EnvironmentState
		has  map[string]Candidate
		want string
	}{
		{"a tag moved", old, found("web", "a"), "web: go, web/web 00→aa"},
		{"an overlay still uses a tag", at("dev", stands("dev", "web", image("web", ""))), found("web", "a"), "web: go, web/web tag→aa"},
		{"a tag stands still", old, found("web", "0"), "web: nothing (every digest is in dev/web already)"},
		{"what the tag points to is not signed", old, unsigned, "web: wait (ghcr.io/acme/web@sha256:aaaaaaaaaaaa (tag main) has no evidence that satisfies the trust)"},
		{"the registry does not answer", old, map[string]Candidate{"ghcr.io/acme/web": {Problem: "ghcr.io does not answer"}}, "web: wait (ghcr.io/acme/web: ghcr.io does not answer)"},
		{"it was not looked up", old, nil, "web: wait (ghcr.io/acme/web is not looked up yet)"},
		{"no rule tracks the image", at("dev", stands("dev", "web", render.Image{Repository: "index.docker.io/library/redis", Reference: "redis:8"})), nil, "web: nothing (no rule tracks an image of dev/web)"},
		{"an untracked image stays", at("dev", stands("dev", "web", image("web", "0"), render.Image{Repository: "index.docker.io/library/redis", Reference: "redis:8"})), found("web", "a"), "web: go, web/web 00→aa"},
		{"one application does not hold up another", at("dev", stands("dev", "api", image("api", "0")), stands("dev", "web", image("web", "0"))), found("web", "a"), "api: wait (ghcr.io/acme/api is not looked up yet)\nweb: go, web/web 00→aa"},
	} {
		t.Run(c.when, func(t *testing.T) {
			t.Parallel()
			got := told(DecideFirst(FirstInput{Pipeline: pipeline(""), Destination: c.now, Candidates: c.has, Trust: trust}))
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestTrackFor(t *testing.T) {
	t.Parallel()
	tracks := []environments.Track{
		{Image: "ghcr.io/acme/*", Tag: "main"}, {Image: "docker.io/nginx", Tag: "stable"}, {Image: "docker.io/*", Tag: "hub"}, {Image: "docker.io/acme/*", Tag: "own"},
		{Image: "ghcr.io/acme/web", Tag: "never"},
	}
	for repository, want := range map[string]string{
		"ghcr.io/acme/web": "main", "ghcr.io/acme/team/web": "", "ghcr.io.evil.com/acme/web": "", "quay.io/acme/web": "",
		"index.docker.io/library/nginx": "stable", "index.docker.io/library/redis": "hub", "index.docker.io/acme/web": "own",
	} {
		if got, _ := TrackFor(tracks, repository); got.Tag != want {
			t.Errorf("%s is tracked by %q, want %q", repository, got.Tag, want)
		}
	}
}

func ExampleDecide() {
	decision := Decide(Input{
		Pipeline: environments.Pipeline{Spec: environments.Spec{Environments: []environments.Environment{
			{Name: "dev"}, {Name: "staging", After: []string{"dev"}},
		}}},
		Environment: "staging",
		Head:        head,
		Sources:     []EnvironmentState{at("dev", healthy("dev", "web", image("web", "a")), healthy("dev", "api", image("api", "b")))},
		Destination: at("staging", stands("staging", "web", image("web", "9")), stands("staging", "api", image("api", "b"))),
		Trust:       trust,
	})
	for _, batch := range decision.Batches {
		fmt.Println(batch.Application, batch.Verdict)
		for _, move := range batch.Moves {
			fmt.Println(" ", move.Repository, move.From[:11], "→", move.To[:11])
		}
	}
	// Output:
	// web go
	//   ghcr.io/acme/web sha256:9999 → sha256:aaaa
	// api nothing
}

// catalogue 74
func TestWhatGoesNeedsTheEnvironmentsApprovals(t *testing.T) {
	t.Parallel()
	for _, batch := range []environments.BatchMode{environments.BatchApplication, environments.BatchEnvironment} {
		for mode, auto := range map[environments.MergeMode]bool{environments.MergeAuto: true, environments.MergeManual: false, "": false} {
			p := pipeline(batch)
			p.Spec.Environments[2].Promotion.Merge = mode
			d := Decide(Input{
				Pipeline: p, Environment: "staging", Head: head, Trust: trust, Now: noon, Approvals: 2,
				Sources:     []EnvironmentState{at("dev", healthy("dev", "web", image("web", "a")), healthy("dev", "api", image("api", "a")))},
				Destination: at("staging", stands("staging", "web", image("web", "0")), stands("staging", "api", image("api", "a"))),
			})
			if len(d.Batches) == 0 || d.Batches[0].Verdict != Go {
				t.Fatalf("%s: %s", batch, told(d))
			}
			for _, b := range d.Batches {
				p := Propose("staging", b, Base{})
				want, automatic := 2, auto
				if b.Verdict != Go {
					want, automatic = 0, false
				}
				if b.Approvals != want || p.Approvals != want || b.Auto != automatic || p.Auto != automatic {
					t.Errorf("%s, merge %q: %+v, want %d approvals, automatic: %v", batch, mode, b, want, automatic)
				}
			}
		}
	}
}
