package cosign

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/policies"
)

func trustedKey(t testing.TB) policies.Key {
	t.Helper()
	k, err := images.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	trust, err := policies.NewTrust([]policies.Rule{{Images: "**", Keys: []policies.Key{{Name: "release", PEM: k.Public()}}}})
	if err != nil {
		t.Fatal(err)
	}
	return *trust.Signers("ghcr.io/acme/web")[0].Key
}

// The library is open by default; what makes it safe is asserted one by one.
func TestCheckOptsCannotBeMadeOpen(t *testing.T) {
	t.Parallel()
	key := trustedKey(t)
	for _, scheme := range []policies.Scheme{policies.SchemeTag, policies.SchemeBundle} {
		co, err := checkOpts(key, scheme)
		if err != nil {
			t.Fatal(err)
		}
		if co.SigVerifier == nil || co.ClaimVerifier == nil || !co.Offline {
			t.Errorf("%s: %+v is open", scheme, co)
		}
		if co.RekorClient != nil || co.RootCerts != nil || co.ExperimentalOCI11 {
			t.Errorf("%s: %+v trusts or asks somebody else", scheme, co)
		}
		if co.NewBundleFormat != (scheme == policies.SchemeBundle) || co.NewBundleFormat && co.TrustedMaterial == nil {
			t.Errorf("%s: %+v is for the other scheme", scheme, co)
		}
	}
	for because, make := range map[string]func() error{
		"no key": func() error { _, err := checkOpts(policies.Key{}, policies.SchemeTag); return err },
		"an unread key": func() error {
			_, err := checkOpts(policies.Key{Name: "release", PEM: key.PEM}, policies.SchemeBundle)
			return err
		},
		"no scheme":      func() error { _, err := checkOpts(key, ""); return err },
		"another scheme": func() error { _, err := checkOpts(key, "attestation"); return err },
	} {
		if err := make(); err == nil {
			t.Errorf("%s: no error", because)
		}
	}
}

var someDigest = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}

// Bundles are pushed by strangers.
func FuzzBundles(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"x"}},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA=="}]}}`))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{}},"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AA=="},"signature":"AA=="}}`))
	f.Add([]byte(`{"subject":null}`))
	key := trustedKey(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := readBundle(raw)
		if err != nil {
			if strings.Contains(err.Error(), "reading it failed") {
				t.Errorf("the library panics: %v", err)
			}
			return
		}
		if verifyBundle(t.Context(), key, b, someDigest) == nil {
			t.Error("a bundle that nobody signed is accepted")
		}
	})
}
