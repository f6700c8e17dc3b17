package policies_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/policies"
)

const (
	githubIssuer = "https://token.actions.githubusercontent.com"
	workflow     = "https://github.com/acme/web/.github/workflows/release.yml@refs/heads/main"
)

// sigstoreRoot is as much of a trust root as rules look at.
func sigstoreRoot() policies.Root {
	return policies.Root{Name: "public", JSON: []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), TransparencyLog: true}
}

func identityOf(issuer, subject string) policies.Identity {
	return policies.Identity{Name: "workflow", Issuer: issuer, Subject: subject, Root: sigstoreRoot()}
}

func patternOf(subject string) policies.Identity {
	return policies.Identity{Name: "workflow", Issuer: githubIssuer, SubjectPattern: subject, Root: sigstoreRoot()}
}

// catalogue 34
func TestOnlyTheVeryIdentityMatches(t *testing.T) {
	t.Parallel()
	exact := identityOf(githubIssuer, workflow)
	anyRepository := patternOf(`https://github\.com/acme/[a-z-]+/\.github/workflows/release\.yml@refs/heads/main`)
	prefix := patternOf(`https://github\.com/acme/.*`)
	alternatives := patternOf(`https://github\.com/acme/web|https://github\.com/acme/api`)
	multiline := patternOf(`(?m)^https://github\.com/acme/web$`)
	folded := patternOf(`(?i)https://github\.com/acme/web`)
	anyOfTwo := policies.Identity{Name: "two", IssuerPattern: `https://(accounts|login)\.acme\.dev`, Subject: "release@acme.dev", Root: sigstoreRoot()}

	tests := []struct {
		because         string
		identity        policies.Identity
		issuer, subject string
		want            bool
	}{
		{"the very identity", exact, githubIssuer, workflow, true},
		{"another issuer", exact, "https://token.actions.evil.example", workflow, false},
		{"the issuer with more after it", exact, githubIssuer + "/x", workflow, false},
		{"the issuer in upper case", exact, strings.ToUpper(githubIssuer), workflow, false},
		{"another workflow", exact, githubIssuer, strings.Replace(workflow, "release", "test", 1), false},
		{"another branch", exact, githubIssuer, strings.Replace(workflow, "main", "main-2", 1), false},
		{"the subject after a look-alike", exact, githubIssuer, "https://evil.example/?" + workflow, false},
		{"the subject with a line after it", exact, githubIssuer, workflow + "\n", false},
		{"no issuer", exact, "", workflow, false},
		{"no subject", exact, githubIssuer, "", false},
		{"a repository that the pattern means", anyRepository, githubIssuer, workflow, true},
		{"a look-alike before what the pattern means", anyRepository, githubIssuer, "https://evil.example/?" + workflow, false},
		{"more after what the pattern means", anyRepository, githubIssuer, workflow + "-evil", false},
		{"a line before what the pattern means", anyRepository, githubIssuer, "x\n" + workflow, false},
		{"a pattern is right and the issuer wrong", anyRepository, "https://gitlab.com", workflow, false},
		{"a prefix is anchored too", prefix, githubIssuer, "https://evil.example/https://github.com/acme/web", false},
		{"a prefix does not go over lines", prefix, githubIssuer, "https://github.com/acme/\nhttps://evil.example", false},
		{"an escaped dot is a dot", prefix, githubIssuer, "https://githubxcom/acme/web", false},
		{"the first alternative, whole", alternatives, githubIssuer, "https://github.com/acme/web", true},
		{"the first alternative is not anchored on the left alone", alternatives, githubIssuer, "https://github.com/acme/web-evil", false},
		{"the last alternative is not anchored on the right alone", alternatives, githubIssuer, "https://evil.example/https://github.com/acme/api", false},
		{"a pattern cannot undo the anchors by its flags", multiline, githubIssuer, "https://github.com/acme/web\nevil", false},
		{"but may ignore case", folded, githubIssuer, "https://github.com/ACME/web", true},
		{"one of two issuers", anyOfTwo, "https://login.acme.dev", "release@acme.dev", true},
		{"a third issuer", anyOfTwo, "https://logins.acme.dev", "release@acme.dev", false},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			trust := trustOf(t, policies.Rule{Images: "**", Identities: []policies.Identity{tt.identity}})
			made := trust.Signers("ghcr.io/acme/web")[0].Identity
			if got := made.Matches(tt.issuer, tt.subject); got != tt.want {
				t.Errorf("%q at %q: %v", tt.subject, tt.issuer, got)
			}
			if tt.identity.Matches(tt.issuer, tt.subject) {
				t.Error("an identity that was never checked must match nobody")
			}
		})
	}
}

// catalogue 34
func TestIdentitiesThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	with := func(edit func(*policies.Identity)) policies.Identity {
		i := identityOf(githubIssuer, workflow)
		edit(&i)
		return i
	}
	tests := []struct {
		because  string
		identity policies.Identity
		want     string
	}{
		{"no issuer", with(func(i *policies.Identity) { i.Issuer = "" }), "trust[0].keyless[0]: has neither issuer nor issuerPattern"},
		{"two issuers", with(func(i *policies.Identity) { i.IssuerPattern = "x" }), "trust[0].keyless[0]: has both issuer and issuerPattern"},
		{"no subject", with(func(i *policies.Identity) { i.Subject = "" }), "trust[0].keyless[0]: has neither subject nor subjectPattern"},
		{"two subjects", with(func(i *policies.Identity) { i.SubjectPattern = "x" }), "trust[0].keyless[0]: has both subject and subjectPattern"},
		{"an issuer without TLS", identityOf("http://issuer.example", workflow), `trust[0].keyless[0].issuer: "http://issuer.example" is no issuer`},
		{"an issuer that is a name", identityOf("github", workflow), ".issuer: "},
		{"an issuer with a user", identityOf("https://a@b.example", workflow), ".issuer: "},
		{"an issuer with a query", identityOf("https://b.example/?x", workflow), ".issuer: "},
		{"an issuer with a space", identityOf("https://b.example ", workflow), ".issuer: "},
		{"white space around a subject", identityOf(githubIssuer, workflow+"\n"), "trust[0].keyless[0].subject: begins or ends with white space"},
		{"no regular expression", patternOf("(acme"), "trust[0].keyless[0].subjectPattern: "},
		{"one only in parentheses", patternOf(`https://github\.com/acme/web)|(?:x@acme\.dev`), "is no regular expression"},
		{"an open quotation", patternOf(`\Qacme`), ".subjectPattern: "},
		{"a look-around, which RE2 has not", patternOf("(?=acme).*x"), ".subjectPattern: "},
		{"anybody", patternOf(".*"), ".subjectPattern: \".*\" matches nothing at all too"},
		{"anybody with a name", patternOf(".+"), "matches whatever there is"},
		{"anybody on the web", patternOf("https://.+"), "matches whatever there is"},
		{"anybody with an address", patternOf(".+@.+"), "matches whatever there is"},
		{"any workflow of anybody", patternOf(`https://[^/]+/.*/\.github/workflows/.*`), "matches whatever there is"},
		{"any issuer", with(func(i *policies.Identity) { i.Issuer, i.IssuerPattern = "", "https://.*" }), "trust[0].keyless[0].issuerPattern: \"https://.*\" matches whatever there is"},
		{"a huge pattern", patternOf(strings.Repeat("a", 2000)), "at most 1024"},
		{"no root", with(func(i *policies.Identity) { i.Root.JSON = nil }), "trust[0].keyless[0].root: is missing"},
		{"a root that is none", with(func(i *policies.Identity) { i.Root.JSON = []byte(`{"signed":{}}`) }), `.root: "public" is no Sigstore trust root`},
		{"a root that never expires anything", with(func(i *policies.Identity) { i.Root.TransparencyLog = false }), `.root: "public" demands neither`},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			_, err := policies.NewTrust([]policies.Rule{{Images: "**", Identities: []policies.Identity{tt.identity}}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestAnIdentityIsItsContent(t *testing.T) {
	t.Parallel()
	id := func(edit func(*policies.Identity)) string {
		i := identityOf(githubIssuer, workflow)
		edit(&i)
		return trustOf(t, policies.Rule{Images: "**", Identities: []policies.Identity{i}}).Signers("ghcr.io/acme/web")[0].ID()
	}
	base := id(func(*policies.Identity) {})
	if same := id(func(i *policies.Identity) { i.Name, i.Root.Name = "other", "other" }); same != base {
		t.Error("a name is no content")
	}
	if name := trustOf(t, policies.Rule{Images: "**", Identities: []policies.Identity{{Issuer: githubIssuer, Subject: workflow, Root: sigstoreRoot()}}}).Signers("a.b/c")[0].Name(); name != workflow {
		t.Errorf("without a name it is called %q", name)
	}
	for what, edit := range map[string]func(*policies.Identity){
		"issuer":           func(i *policies.Identity) { i.Issuer = "https://gitlab.com" },
		"subject":          func(i *policies.Identity) { i.Subject = "release@acme.dev" },
		"pattern or exact": func(i *policies.Identity) { i.Subject, i.SubjectPattern = "", workflow },
		"root":             func(i *policies.Identity) { i.Root.JSON = append(i.Root.JSON, '\n') },
		"log":              func(i *policies.Identity) { i.Root.TransparencyLog, i.Root.Timestamp = false, true },
		"timestamp":        func(i *policies.Identity) { i.Root.Timestamp = true },
		"certificate log":  func(i *policies.Identity) { i.Root.CertificateLog = true },
	} {
		if id(edit) == base {
			t.Errorf("another %s is another identity", what)
		}
	}
}

// A pattern that is accepted matches exactly the strings that it matches from
// their first to their last byte, and never one of a stranger.
func FuzzPatterns(f *testing.F) {
	for _, p := range []string{`https://github\.com/acme/.*`, `a)|(b`, `\Qa`, `(?m)^a$`, `a|b`, `^$`, `.*`, `(?s).+`, `a\z|b`, `(?i)A`, `[^/]+@acme\.dev`} {
		f.Add(p, "https://github.com/acme/web")
	}
	f.Fuzz(func(t *testing.T, pattern, subject string) {
		trust, err := policies.NewTrust([]policies.Rule{{Images: "**", Identities: []policies.Identity{patternOf(pattern)}}})
		if err != nil {
			return
		}
		identity := trust.Signers("ghcr.io/acme/web")[0].Identity
		if identity.Matches(githubIssuer, "someone@pawl-q7.invalid") && identity.Matches(githubIssuer, "q") {
			t.Errorf("%q matches everybody", pattern)
		}
		if !identity.Matches(githubIssuer, subject) {
			return
		}
		longest := regexp.MustCompile(pattern)
		longest.Longest()
		if at := longest.FindStringIndex(subject); at == nil || at[0] != 0 || at[1] != len(subject) {
			t.Errorf("%q matches %q, of which it means %v", pattern, subject, at)
		}
	})
}
