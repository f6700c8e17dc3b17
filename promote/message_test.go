package promote

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
)

func move(environment, app, repository, from, to string) Move {
	m := Move{
		Target: environments.Target{Environment: environment, Application: app}, Repository: repository,
		To: digest(to), Tag: "1.9.0",
		Passed:   []Passed{{Environment: "staging", Commit: head, Since: noon}},
		Evidence: policies.Evidence{Exists: true, Signatures: []policies.Signature{{By: policies.SignedBy{Signer: "release"}, Scheme: policies.SchemeBundle}}},
	}
	if from != "" {
		m.From, m.FromTag = digest(from), "1.8.2"
	}
	return m
}

func TestProposals(t *testing.T) {
	t.Parallel()
	web := move("production", "web", "ghcr.io/acme/web", "9", "3")
	api := move("production", "api", "ghcr.io/acme/api", "", "5")
	api.Tag = ""
	api.Evidence.Signatures = append(api.Evidence.Signatures, policies.Signature{By: policies.SignedBy{Signer: "backup"}, Scheme: policies.SchemeTag}, policies.Signature{By: policies.SignedBy{Signer: "release"}, Scheme: policies.SchemeTag})
	api.Passed = append(api.Passed, Passed{Environment: "load", Commit: head, Since: noon.Add(time.Hour)})
	alone := move("production", "", "index.docker.io/library/nginx", "9", "3")
	evil := move("production", "web", "ghcr.io/acme/web", "9", "3")
	evil.Tag = "v1 | @acme/sre fixes #1 <script> ](http://evil.example)"
	evil.Evidence.Signatures[0].By.Signer = "**key** --> <!-- pawl:promotion {} -->"
	attested := move("production", "web", "ghcr.io/acme/web", "9", "3")
	attested.Evidence.Signatures[0].By = policies.SignedBy{Signer: "acme/web release.yml@main", Issuer: "https://token.actions.githubusercontent.com"}
	const commit = "77be1c2000000000000000000000000000000000"
	attested.Evidence.Attestations = []policies.Attestation{
		{Type: "https://slsa.dev/provenance/v1", Predicate: []byte(`{"buildDefinition":{"buildType":1,"resolvedDependencies":[{"uri":"pkg:x"},{"uri":"git+https://github.com/acme/web@refs/heads/main","digest":{"gitCommit":"` + commit + `"}}]}}`)},
		{Type: "https://cyclonedx.org/bom", Predicate: []byte(`{"components":[{"name":"a"},{"name":"b"}]}`)},
		{Type: "https://spdx.dev/Document", Predicate: []byte(`{"spdxVersion":"SPDX-2.3","packages":[{}]}`)},
		{Type: "https://cosign.sigstore.dev/attestation/vuln/v1", Predicate: []byte(`{"metadata":{"scanFinishedOn":"2026-11-20T10:00:00Z"}}`)},
		{Type: "https://slsa.dev/verification_summary/v1", Predicate: []byte(`{"timeVerified":"2026-11-20T14:02:00Z"}`)},
	}
	hostile := move("production", "web", "ghcr.io/acme/web", "9", "3")
	hostile.Evidence.Attestations = []policies.Attestation{
		{Type: "https://slsa.dev/provenance/v0.2", Predicate: []byte(`{"invocation":{"configSource":{"uri":"git+https://github.com/@acme/sre|<b>fixes #1","digest":{"sha1":"` + commit + `"}}}}`)},
		{Type: "https://slsa.dev/provenance/v1", Predicate: []byte(`{"buildDefinition":{"resolvedDependencies":"none"}}`)},
		{Type: "https://cyclonedx.org/bom", Predicate: []byte(`{"components":{}}`)},
		{Type: "https://cyclonedx.org/bom", Predicate: []byte(`not JSON`)},
		{Type: "https://evil.example/@acme/sre|<script>", Predicate: []byte(`null`)},
		{Type: "", Predicate: nil},
	}
	base := Base{Branch: "main", Commit: head, Files: map[string][]byte{"k.yaml": []byte("x")}}
	for name, batch := range map[string]Batch{
		"one":         {Application: "web", Moves: []Move{web}},
		"environment": {Moves: []Move{web, api}, Why: "staging/cart failed"},
		"no_app":      {Moves: []Move{alone}},
		"attested":    {Application: "web", Moves: []Move{attested}},
		"approvals":   {Application: "web", Moves: []Move{web}, Approvals: 2, Auto: true},
		"manual":      {Application: "web", Moves: []Move{web}, Approvals: 1},
		"hostile":     {Application: "web", Moves: []Move{hostile}}, // catalogue 29
		"strangers":   {Application: "web", Moves: []Move{evil}, Why: "<b>@everyone</b>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Propose("production", batch, base)
			golden(t, "testdata/proposals/"+name+".md", []byte("branch: "+p.Branch+"\ntitle: "+p.Title+"\n---\n"+p.Body))
			golden(t, "testdata/proposals/"+name+".commit.txt", []byte(p.CommitMessage()))
			got, ok := ParseMarker(p.Body)
			if want := p.Marker(); !ok || got.Fingerprint != want.Fingerprint || len(got.Moves) != len(want.Moves) || got.Environment != "production" {
				t.Errorf("the marker is read back as %+v, want %+v", got, want)
			}
			if again := Propose("production", batch, base); again.Body != p.Body || again.Title != p.Title {
				t.Error("the same facts gave another proposal")
			}
		})
	}
}

func TestTrackMessage(t *testing.T) {
	t.Parallel()
	web := move("dev", "web", "ghcr.io/acme/web", "9", "3")
	web.Tag = "main"
	api := move("dev", "api", "ghcr.io/acme/api", "", "5")
	api.Tag = "bad tag\n\nCo-authored-by: x"
	golden(t, "testdata/proposals/track.commit.txt", []byte(TrackMessage("dev", []Move{web, api})))
	golden(t, "testdata/proposals/track_one.commit.txt", []byte(TrackMessage("dev", []Move{web})))
}

func TestProposalsOfAnySizeFit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 51, 400, 3000} {
		var moves []Move
		for i := range n {
			m := move("production", fmt.Sprintf("application-%d", i), fmt.Sprintf("ghcr.io/acme/%s-%d", strings.Repeat("long", 20), i), "9", "3")
			m.Evidence.Signatures[0].By.Signer = fmt.Sprintf("key-%d", i)
			for j := range 30 {
				m.Evidence.Attestations = append(m.Evidence.Attestations, policies.Attestation{Type: fmt.Sprintf("https://example.com/%s-%d", strings.Repeat("@", 100), j)})
			}
			moves = append(moves, m)
		}
		p := Propose("production", Batch{Moves: moves, Why: strings.Repeat("x", 10_000)}, Base{})
		if size := utf8.RuneCountInString(p.Body); size > bodyLimit {
			t.Errorf("%d moves: body of %d characters, at most %d are taken", n, size, bodyLimit)
		}
		if len(p.Title) > 256 {
			t.Errorf("%d moves: title of %d bytes", n, len(p.Title))
		}
		m, ok := ParseMarker(p.Body)
		if !ok || m.Fingerprint != fingerprint("production", moves) {
			t.Errorf("%d moves: the marker is lost", n)
		}
		if n == 3000 && !strings.Contains(p.Body, "more rows do not fit here") {
			t.Error("nothing says that rows were left out")
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	a, b := move("staging", "web", "ghcr.io/acme/web", "9", "3"), move("staging", "api", "ghcr.io/acme/api", "9", "3")
	other := a
	other.From, other.Tag = "", "x"
	if fingerprint("staging", []Move{a, b}) != fingerprint("staging", []Move{b, other}) {
		t.Error("order, tags or what is replaced count; only where which digest goes should")
	}
	if fingerprint("staging", []Move{a}) == fingerprint("production", []Move{a}) || fingerprint("staging", []Move{a}) == fingerprint("staging", []Move{a, b}) {
		t.Error("different proposals look the same")
	}
}

func TestParseMarkerIgnoresWhatIsNone(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "hello", "<!-- pawl:promotion", "<!-- pawl:promotion {} -->", "<!-- pawl:promotion [1] -->", `<!-- pawl:promotion {"fingerprint":1} -->`} {
		if m, ok := ParseMarker(body); ok {
			t.Errorf("%q is read as %+v", body, m)
		}
	}
}
