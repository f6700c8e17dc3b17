package cosign

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
	"github.com/pawl-dev/pawl/policies"
)

func trusted(t testing.TB, rule policies.Rule) []signer {
	t.Helper()
	rule.Images = "**"
	trust, err := policies.NewTrust([]policies.Rule{rule})
	if err != nil {
		t.Fatal(err)
	}
	return new(roots).signers(trust.Signers("ghcr.io/acme/web"), never.AddDate(-8000, 0, 0))
}

func trustedKey(t testing.TB) signer {
	t.Helper()
	k, err := images.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return trusted(t, policies.Rule{Keys: []policies.Key{{Name: "release", PEM: k.Public()}}})[0]
}

const issuer = "https://issuer.example.com"

func trustedIdentity(t testing.TB, with func(*policies.Identity)) signer {
	t.Helper()
	private, err := sigstore.New()
	if err != nil {
		t.Fatal(err)
	}
	i := policies.Identity{Name: "release", Issuer: issuer, Subject: "release@acme.com", Root: policies.Root{
		Name: "private", JSON: private.TrustedRoot(), TransparencyLog: true, CertificateLog: true,
	}}
	with(&i)
	s := trusted(t, policies.Rule{Identities: []policies.Identity{i}})[0]
	if s.problem != nil {
		t.Fatal(s.problem)
	}
	return s
}

// ways are the three kinds of things that are verified.
var ways = []struct {
	scheme policies.Scheme
	what   content
}{
	{policies.SchemeTag, signatures}, {policies.SchemeTag, attestations}, {policies.SchemeBundle, attestations},
}

// The library is open by default; what makes it safe is asserted one by one.
func TestCheckOptsCannotBeMadeOpen(t *testing.T) {
	t.Parallel()
	closed := func(t *testing.T, s signer, check func(t *testing.T, co *cosign.CheckOpts)) {
		for _, w := range ways {
			t.Run(fmt.Sprintf("%s in a %s", w.what, w.scheme), func(t *testing.T) {
				co, err := checkOpts(s, w.scheme, w.what)
				if err != nil {
					t.Fatal(err)
				}
				if co.ClaimVerifier == nil {
					t.Error("nobody compares the digest")
				}
				if !co.Offline || co.RekorClient != nil {
					t.Error("a transparency log is asked")
				}
				if co.RootCerts != nil || co.IntermediateCerts != nil || co.RekorPubKeys != nil || co.CTLogPubKeys != nil || co.TSARootCertificates != nil || co.TSACertificate != nil {
					t.Error("something beside the trust root is trusted")
				}
				if co.ExperimentalOCI11 || co.SignatureRef != "" || co.SCT != nil {
					t.Error("it looks elsewhere for what was given to it")
				}
				if co.NewBundleFormat != (w.scheme == policies.SchemeBundle) || co.NewBundleFormat && co.TrustedMaterial == nil {
					t.Error("it is for the other scheme")
				}
				check(t, co)
			})
		}
	}
	t.Run("for a key", func(t *testing.T) {
		closed(t, trustedKey(t), func(t *testing.T, co *cosign.CheckOpts) {
			if co.SigVerifier == nil || len(co.Identities) > 0 {
				t.Error("it is not the key that decides")
			}
			if material, ok := co.TrustedMaterial.(root.TrustedMaterialCollection); co.NewBundleFormat && (!ok || len(material) > 0) {
				t.Error("more than the key is trusted")
			}
		})
	})
	for _, demands := range []policies.Root{
		{TransparencyLog: true}, {Timestamp: true}, {TransparencyLog: true, Timestamp: true},
		{TransparencyLog: true, CertificateLog: true}, {Timestamp: true, CertificateLog: true},
		{TransparencyLog: true, Timestamp: true, CertificateLog: true},
	} {
		t.Run(fmt.Sprintf("for an identity: log %t, timestamp %t, certificate log %t", demands.TransparencyLog, demands.Timestamp, demands.CertificateLog), func(t *testing.T) {
			s := trustedIdentity(t, func(i *policies.Identity) {
				i.Root.TransparencyLog, i.Root.Timestamp, i.Root.CertificateLog = demands.TransparencyLog, demands.Timestamp, demands.CertificateLog
			})
			closed(t, s, func(t *testing.T, co *cosign.CheckOpts) {
				if co.SigVerifier != nil || len(co.Identities) != 1 || co.Identities[0] != (cosign.Identity{Issuer: issuer, Subject: "release@acme.com"}) {
					t.Errorf("identities %+v", co.Identities)
				}
				if co.TrustedMaterial != root.TrustedMaterial(s.root) {
					t.Error("it is another root")
				}
				if co.IgnoreTlog == demands.TransparencyLog || co.UseSignedTimestamps != demands.Timestamp || co.IgnoreSCT == demands.CertificateLog {
					t.Errorf("log ignored %t, timestamp %t, certificate log ignored %t", co.IgnoreTlog, co.UseSignedTimestamps, co.IgnoreSCT)
				}
			})
		})
	}
	key, identity := trustedKey(t), trustedIdentity(t, func(*policies.Identity) {})
	changed := func(with func(*policies.Identity)) signer {
		i := *identity.Identity
		with(&i)
		return signer{Signer: policies.Signer{Identity: &i}, material: identity.material}
	}
	for because, s := range map[string]signer{
		"nobody":                {},
		"a key and an identity": {Signer: policies.Signer{Key: key.Key, Identity: identity.Identity}, material: identity.material},
		"an unread key":         {Signer: policies.Signer{Key: &policies.Key{Name: "release", PEM: key.Key.PEM}}},
		"an unread identity":    {Signer: policies.Signer{Identity: &policies.Identity{Issuer: issuer, Subject: "a", Root: identity.Identity.Root}}, material: identity.material},
		"no trust root":         {Signer: identity.Signer},
		"an empty trust root":   {Signer: identity.Signer, material: &material{}},
		"no time of use":        changed(func(i *policies.Identity) { i.Root.TransparencyLog, i.Root.Timestamp = false, false }),
		"no issuer":             changed(func(i *policies.Identity) { i.Issuer = "" }),
		"no subject":            changed(func(i *policies.Identity) { i.Subject = "" }),
		"a pattern that opens":  changed(func(i *policies.Identity) { i.Subject, i.SubjectPattern = "", "a)|(?:.*" }),
	} {
		for _, w := range ways {
			if co, err := checkOpts(s, w.scheme, w.what); err == nil {
				t.Errorf("%s: %+v", because, co)
			}
		}
	}
	for _, w := range []struct {
		scheme policies.Scheme
		what   content
	}{{"", signatures}, {"other", attestations}, {policies.SchemeTag, ""}} {
		if _, err := checkOpts(key, w.scheme, w.what); err == nil {
			t.Errorf("%s of scheme %q: no error", w.what, w.scheme)
		}
	}
}

// catalogue 34
func TestPatternsThatTheLibraryGetsAreAnchored(t *testing.T) {
	t.Parallel()
	s := trustedIdentity(t, func(i *policies.Identity) {
		i.Issuer, i.IssuerPattern = "", `https://(a|b)\.example\.com`
		i.Subject, i.SubjectPattern = "", `(?m)https://github\.com/acme/.*`
	})
	for _, w := range ways {
		co, err := checkOpts(s, w.scheme, w.what)
		if err != nil {
			t.Fatal(err)
		}
		issuer, subject := regexp.MustCompile(co.Identities[0].IssuerRegExp), regexp.MustCompile(co.Identities[0].SubjectRegExp)
		if !issuer.MatchString("https://a.example.com") || !subject.MatchString("https://github.com/acme/web") {
			t.Errorf("%+v does not match what it should", co.Identities[0])
		}
		for _, evil := range []string{"https://evil.com/?https://a.example.com", "https://a.example.com.evil.com", "x\nhttps://a.example.com"} {
			if issuer.MatchString(evil) {
				t.Errorf("issuer %q matches", evil)
			}
		}
		for _, evil := range []string{"https://evil.com/?https://github.com/acme/web", "x\nhttps://github.com/acme/web", "https://github.com/acme/web\nx"} {
			if subject.MatchString(evil) {
				t.Errorf("subject %q matches", evil)
			}
		}
	}
}

func TestAPanicOfALibraryIsASignatureThatDoesNotCount(t *testing.T) {
	t.Parallel()
	err := guarded(func() {
		var nothing *int
		*nothing++
	})
	if err == nil || !strings.Contains(err.Error(), "reading it failed") {
		t.Errorf("got %v", err)
	}
}

func TestATrustRootIsReadOnce(t *testing.T) {
	t.Parallel()
	private, err := sigstore.New()
	if err != nil {
		t.Fatal(err)
	}
	var r roots
	first, err := r.material(private.TrustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.material(bytes.Clone(private.TrustedRoot()))
	if err != nil || again != first {
		t.Errorf("it is read again, %v", err)
	}
	for i := range 3 * maxRoots { // as a configuration that changes all the time
		if _, err := r.material(fmt.Append(nil, i)); err == nil {
			t.Error("a number is a trust root")
		}
	}
	if len(r.read) > maxRoots+1 {
		t.Errorf("%d are kept", len(r.read))
	}
}
