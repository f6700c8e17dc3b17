package gitsync_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/pawl-dev/pawl/gitsync"
)

var (
	now     = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	payload = []byte("tree 65b6783ec8a44743d7f9424e1f09957f7920a727\nauthor ada <ada@example.org> 0 +0000\ncommitter ada <ada@example.org> 0 +0000\n\nhello\n")
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func clock(at time.Time) func() time.Time { return func() time.Time { return at } }

// pgpKey makes a key a year before now.
func pgpKey(t testing.TB, change func(*packet.Config)) *openpgp.Entity {
	t.Helper()
	c := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: clock(now.AddDate(-1, 0, 0))}
	if change != nil {
		change(c)
	}
	return must[*openpgp.Entity](t)(openpgp.NewEntity("ada", "", "ada@example.org", c))
}

func armored(t testing.TB, kind string, write func(*bytes.Buffer) error) string {
	t.Helper()
	var raw, text bytes.Buffer
	if err := write(&raw); err != nil {
		t.Fatal(err)
	}
	w, err := armor.Encode(&text, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return text.String() + "\n"
}

func pgpPublic(t testing.TB, e *openpgp.Entity) string {
	return armored(t, openpgp.PublicKeyType, func(b *bytes.Buffer) error { return e.Serialize(b) })
}

// pgpSign signs with a key of the entity, any way it is told to.
func pgpSign(t testing.TB, key *packet.PrivateKey, change func(*packet.Signature)) []byte {
	t.Helper()
	sig := &packet.Signature{Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: key.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: now.Add(-time.Hour), IssuerKeyId: &key.KeyId, IssuerFingerprint: key.Fingerprint, IssuerKeyVersion: uint8(key.Version)}
	if change != nil {
		change(sig)
	}
	h := must[hash.Hash](t)(sig.PrepareVerify())
	_, _ = h.Write(payload)
	plain := false // no salt, which there is not for every sum
	if err := sig.Sign(h, key, &packet.Config{NonDeterministicSignaturesViaNotation: &plain}); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if err := sig.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	return raw.Bytes()
}

func pgpText(t testing.TB, packets ...[]byte) string {
	return armored(t, openpgp.SignatureType, func(b *bytes.Buffer) error {
		for _, p := range packets {
			b.Write(p)
		}
		return nil
	})
}

func sshSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return must[ssh.Signer](t)(ssh.NewSignerFromKey(private))
}

func sshPublic(s ssh.Signer) string { return string(ssh.MarshalAuthorizedKey(s.PublicKey())) }

func sshSign(t testing.TB, s ssh.Signer, namespace string) *sshsig.Signature {
	t.Helper()
	return must[*sshsig.Signature](t)(sshsig.Sign(bytes.NewReader(payload), s, sshsig.HashSHA512, namespace))
}

func sshText(s *sshsig.Signature) string { return string(sshsig.Armor(s)) }

func signers(t testing.TB, keys ...string) gitsync.Signers {
	t.Helper()
	var all []gitsync.Signer
	for i, k := range keys {
		all = append(all, gitsync.Signer{Name: fmt.Sprintf("signer-%d", i+1), Key: k})
	}
	return must[gitsync.Signers](t)(gitsync.NewSigners(all))
}

// catalogue 58
func TestASignatureCountsOrIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	good := pgpKey(t, nil)
	goodText := pgpText(t, pgpSign(t, good.PrivateKey, nil))
	stranger := pgpKey(t, nil)
	short := pgpKey(t, func(c *packet.Config) { c.KeyLifetimeSecs = 30 * 24 * 3600 })
	unborn := pgpKey(t, func(c *packet.Config) { c.Time = clock(now.AddDate(0, 1, 0)) })
	revoked := pgpKey(t, nil)
	if err := revoked.RevokeKey(packet.KeySuperseded, "", &packet.Config{Time: clock(now.AddDate(0, -1, 0))}); err != nil {
		t.Fatal(err)
	}
	withSubkeys := pgpKey(t, nil)
	for range 2 {
		if err := withSubkeys.AddSigningSubkey(&packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: clock(now.AddDate(-1, 0, 0))}); err != nil {
			t.Fatal(err)
		}
	}
	sub := withSubkeys.Subkeys[len(withSubkeys.Subkeys)-2:]
	if err := withSubkeys.RevokeSubkey(&sub[1], packet.KeyCompromised, "", &packet.Config{Time: clock(now)}); err != nil {
		t.Fatal(err)
	}
	encryption := withSubkeys.Subkeys[0] // NewEntity makes it, and it cannot sign

	own, other := sshSigner(t), sshSigner(t)
	trailing := sshSign(t, own, "git")
	trailing.Signature.Rest = []byte("x")
	weakRSA := sshSign(t, must[ssh.Signer](t)(ssh.NewSignerFromKey(rsaKey(t, 2048))), "git")
	rsaSHA1 := *weakRSA
	rsaSHA1.Signature = &ssh.Signature{Format: ssh.KeyAlgoRSA, Blob: weakRSA.Signature.Blob}
	certified := &ssh.Certificate{Key: own.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := certified.SignCert(rand.Reader, other); err != nil {
		t.Fatal(err)
	}
	byCertificate := sshSign(t, own, "git")
	byCertificate.PublicKey = certified

	known := signers(t, pgpPublic(t, good), sshPublic(own), pgpPublic(t, short), pgpPublic(t, revoked), pgpPublic(t, withSubkeys), pgpPublic(t, unborn))
	for _, c := range []struct {
		name string
		text string
		want string // the signer, or the problem
		says string // in the error's text
	}{
		{"no signature", "", "Unsigned", "is not signed"},
		{"blanks", " \n\n", "Unsigned", ""},
		{"OpenPGP", goodText, "signer-1", ""},
		{"with a version line, as old gpg writes", strings.Replace(goodText, "-----\n", "-----\nVersion: GnuPG v2\n", 1), "signer-1", ""},
		{"by a subkey", pgpText(t, pgpSign(t, sub[0].PrivateKey, nil)), "signer-5", ""},
		{"by a subkey that is revoked", pgpText(t, pgpSign(t, sub[1].PrivateKey, nil)), "KeyRevoked", "of signer-5, which its owner revoked"},
		{"by the primary key beside it", pgpText(t, pgpSign(t, withSubkeys.PrivateKey, nil)), "signer-5", ""},
		{"by a subkey for encryption", pgpText(t, asIfBy(t, goodText, encryption.PublicKey)), "KeyMisused", "is not for signing"},
		{"by a stranger", pgpText(t, pgpSign(t, stranger.PrivateKey, nil)), "UnknownKey", fmt.Sprintf("OpenPGP key %X, which is none of the configured signers'", stranger.PrimaryKey.Fingerprint)},
		{"by a stranger who gives an id alone", pgpText(t, withIDAlone(pgpSign(t, stranger.PrivateKey, nil), stranger.PrimaryKey)), "UnknownKey", fmt.Sprintf("OpenPGP key %016X,", stranger.PrimaryKey.KeyId)},
		{"by a stranger with the id of a signer", pgpText(t, withIDAlone(asIfBy(t, pgpText(t, pgpSign(t, stranger.PrivateKey, nil)), good.PrimaryKey), good.PrimaryKey)), "WrongContent", ""},
		{"by a stranger who adds the id of a signer", pgpText(t, withOtherID(t, pgpSign(t, stranger.PrivateKey, nil), good.PrimaryKey)), "UnknownKey", fmt.Sprintf("%X", stranger.PrimaryKey.Fingerprint)},
		{"by an expired key", pgpText(t, pgpSign(t, short.PrivateKey, nil)), "KeyExpired", "of signer-3"},
		{"by an expired key that says it signed in time", pgpText(t, pgpSign(t, short.PrivateKey, func(s *packet.Signature) { s.CreationTime = now.AddDate(-1, 0, 1) })), "KeyExpired", ""},
		{"by a revoked key", pgpText(t, pgpSign(t, revoked.PrivateKey, nil)), "KeyRevoked", ""},
		{"by a revoked key that says it signed before", pgpText(t, pgpSign(t, revoked.PrivateKey, func(s *packet.Signature) { s.CreationTime = now.AddDate(0, -2, 0) })), "KeyRevoked", ""},
		{"by a key of the future", pgpText(t, pgpSign(t, unborn.PrivateKey, nil)), "KeyExpired", ""},
		{"by a clock that is ahead", pgpText(t, pgpSign(t, good.PrivateKey, func(s *packet.Signature) { s.CreationTime = now.AddDate(73, 0, 0) })), "signer-1", ""},
		{"by a clock of 1970", pgpText(t, pgpSign(t, good.PrivateKey, func(s *packet.Signature) { s.CreationTime = time.Unix(1, 0) })), "signer-1", ""},
		{"that was to hold for a minute", pgpText(t, pgpSign(t, good.PrivateKey, func(s *packet.Signature) { s.SigLifetimeSecs = new(uint32); *s.SigLifetimeSecs = 60 })), "KeyExpired", "for a while only"},
		{"SHA-1", pgpText(t, pgpSign(t, good.PrivateKey, func(s *packet.Signature) { s.Hash = crypto.SHA1 })), "WeakSignature", "SHA-1"},
		{"SHA-224", pgpText(t, pgpSign(t, good.PrivateKey, func(s *packet.Signature) { s.Hash = crypto.SHA224 })), "WeakSignature", ""},
		{"over text", pgpText(t, pgpSign(t, good.PrivateKey, func(s *packet.Signature) { s.SigType = packet.SigTypeText })), "KeyMisused", "0x01"},
		{"over nothing", pgpText(t, pgpSign(t, good.PrivateKey, func(s *packet.Signature) { s.SigType = 0x40 })), "KeyMisused", "0x40"},
		{"with a demand", pgpText(t, pgpSign(t, good.PrivateKey, func(s *packet.Signature) {
			s.Notations = []*packet.Notation{{Name: "x@example.org", Value: []byte("y"), IsCritical: true}}
		})), "UnsupportedSignature", "x@example.org"},
		{"twice in one block", pgpText(t, pgpSign(t, good.PrivateKey, nil), pgpSign(t, stranger.PrivateKey, nil)), "MalformedSignature", "more than one"},
		{"two blocks", goodText + goodText, "MalformedSignature", "more than one"},
		{"one of each", goodText + sshText(sshSign(t, own, "git")), "MalformedSignature", "more than one"},
		{"text behind it", goodText + "and more\n", "MalformedSignature", ""},
		{"text before it", "and more\n" + goodText, "MalformedSignature", ""},
		{"bytes behind it", pgpText(t, pgpSign(t, good.PrivateKey, nil), []byte{0}), "MalformedSignature", ""},
		{"a key instead", strings.Replace(strings.Replace(pgpPublic(t, good), openpgp.PublicKeyType, openpgp.SignatureType, 1), openpgp.PublicKeyType, openpgp.SignatureType, 1), "MalformedSignature", "no signature"},
		{"an empty block", "-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n", "MalformedSignature", ""},
		{"cut short", goodText[:len(goodText)/2], "MalformedSignature", ""},
		{"no base64", strings.Replace(goodText, "\n\n", "\n\n!!!!", 1), "MalformedSignature", ""},
		{"huge", "-----BEGIN PGP SIGNATURE-----\n\n" + strings.Repeat("AAAA", 20_000), "MalformedSignature", "more than 64 KiB"},
		{"X.509, as gitsign makes", "-----BEGIN SIGNED MESSAGE-----\nMIIE\n-----END SIGNED MESSAGE-----\n", "UnsupportedSignature", "X.509"},
		{"something else", "signed, ada", "MalformedSignature", ""},

		{"SSH", sshText(sshSign(t, own, "git")), "signer-2", ""},
		{"SSH by a stranger", sshText(sshSign(t, other, "git")), "UnknownKey", "SSH key " + ssh.FingerprintSHA256(other.PublicKey())},
		{"SSH by a stranger with the key of a signer", sshText(withKey(sshSign(t, other, "git"), own.PublicKey())), "WrongContent", ""},
		{"SSH for a file", sshText(sshSign(t, own, "file")), "KeyMisused", `for "file"`},
		{"SSH with a namespace that is put in later", sshText(withNamespace(sshSign(t, own, "file"), "git")), "WrongContent", ""},
		{"SSH by a certificate", sshText(byCertificate), "UnsupportedSignature", "certificate"},
		{"SSH with bytes behind it", sshText(trailing), "MalformedSignature", ""},
		{"SSH with bytes behind all", string(pem.EncodeToMemory(&pem.Block{Type: sshsig.PEMType, Bytes: append(sshSign(t, own, "git").Marshal(), 0)})), "MalformedSignature", ""},
		{"SSH with headers", string(pem.EncodeToMemory(&pem.Block{Type: sshsig.PEMType, Headers: map[string]string{"a": "b"}, Bytes: sshSign(t, own, "git").Marshal()})), "MalformedSignature", ""},
		{"SSH with RSA and SHA-1", sshText(&rsaSHA1), "MalformedSignature", ""},
		{"SSH with text behind it", sshText(sshSign(t, own, "git")) + "x", "MalformedSignature", ""},
		{"SSH without an end", strings.TrimSuffix(sshText(sshSign(t, own, "git")), "-----END SSH SIGNATURE-----\n"), "MalformedSignature", ""},
	} {
		by, err := known.Verify(gitsync.Signature{Text: c.text, Payload: payload}, now)
		got := by.Signer
		var refused *gitsync.SignatureRefused
		if errors.As(err, &refused) {
			got = string(refused.Problem)
			if refused.Hint() == "" || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: says %q, %q", c.name, err, refused.Hint())
			}
		}
		if got != c.want || err != nil && (by != gitsync.SignedBy{} || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %q %v; want %q saying %q", c.name, got, err, c.want, c.says)
		}
		if err != nil {
			continue
		}
		for name, changed := range map[string][]byte{"nothing": nil, "one byte more": append(bytes.Clone(payload), '\n'), "one less": payload[:len(payload)-1], "another": bytes.Replace(payload, []byte("hello"), []byte("jello"), 1)} {
			if _, err := known.Verify(gitsync.Signature{Text: c.text, Payload: changed}, now); !errors.As(err, &refused) || refused.Problem != gitsync.WrongContent {
				t.Errorf("%s, of %s: %v", c.name, name, err)
			}
		}
		if _, err := (gitsync.Signers{}).Verify(gitsync.Signature{Text: c.text, Payload: payload}, now); !errors.As(err, &refused) || refused.Problem != gitsync.UnknownKey {
			t.Errorf("%s, to somebody who knows nobody: %v", c.name, err)
		}
	}
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	return must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, bits))
}

func withKey(s *sshsig.Signature, k ssh.PublicKey) *sshsig.Signature { s.PublicKey = k; return s }
func withNamespace(s *sshsig.Signature, n string) *sshsig.Signature  { s.Namespace = n; return s }

// asIfBy changes who a signature says it is by.
func asIfBy(t testing.TB, text string, k *packet.PublicKey) []byte {
	t.Helper()
	block := must[*armor.Block](t)(armor.Decode(strings.NewReader(text)))
	sig := must[packet.Packet](t)(packet.Read(block.Body)).(*packet.Signature)
	was := sig.IssuerFingerprint
	var raw bytes.Buffer
	if err := sig.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	out := bytes.ReplaceAll(raw.Bytes(), was, k.Fingerprint)
	id := func(f []byte) []byte { return f[len(f)-8:] }
	return bytes.ReplaceAll(out, id(was), id(k.Fingerprint))
}

// withIDAlone hides that a signature names the key by its whole fingerprint.
func withIDAlone(raw []byte, k *packet.PublicKey) []byte {
	const issuerFingerprint, unknown = 33, 101
	return bytes.Replace(raw, append([]byte{issuerFingerprint, 4}, k.Fingerprint...), append([]byte{unknown, 4}, k.Fingerprint...), 1)
}

// withOtherID adds an id of another key, which anybody can: it stands where
// nothing is signed, behind the fingerprint.
func withOtherID(t testing.TB, raw []byte, other *packet.PublicKey) []byte {
	t.Helper()
	const header, beforeHashed, issuer = 2, 4, 16
	hashed := header + beforeHashed
	at := hashed + 2 + int(binary.BigEndian.Uint16(raw[hashed:]))
	if raw[1] > 180 || binary.BigEndian.Uint16(raw[at:]) != 0 {
		t.Fatalf("not built as expected: %x", raw)
	}
	added := binary.BigEndian.AppendUint64([]byte{0, 10, 9, issuer}, other.KeyId)
	out := slices.Concat(raw[:at], added, raw[at+2:])
	out[1] += 10
	return out
}

func TestSSHKeysCountWhileTheirOptionsSaySo(t *testing.T) {
	t.Parallel()
	own := sshSigner(t)
	text := sshText(sshSign(t, own, "git"))
	key := strings.TrimSpace(sshPublic(own))
	for options, want := range map[string]bool{
		"":                                true,
		`namespaces="git" `:               true,
		`namespaces="file,git" `:          true,
		`namespaces="*" `:                 true,
		`valid-after="20260501Z" `:        true, // noon is later
		`valid-after="202605011201Z" `:    false,
		`valid-after="20260501120000" `:   true, // to the second
		`valid-before="20260502" `:        true,
		`valid-before="20260501120000Z" `: false, // to the second
		`valid-before=20250101 `:          false,
		`valid-after="2026",`:             false, // refused below
		`VALID-BEFORE="20270101",namespaces="git",valid-after="20260101" `: true,
	} {
		s, err := gitsync.NewSigners([]gitsync.Signer{{Name: "ada", Key: "# who may sign\n\nada@example.org,*@example.org " + options + key + "\r\n"}})
		if err != nil {
			if want || !strings.Contains(options, `"2026"`) {
				t.Errorf("%s: %v", options, err)
			}
			continue
		}
		_, err = s.Verify(gitsync.Signature{Text: text, Payload: payload}, now)
		var refused *gitsync.SignatureRefused
		if want != (err == nil) || !want && (!errors.As(err, &refused) || refused.Problem != gitsync.KeyExpired) {
			t.Errorf("%s: %v", options, err)
		}
	}
}

func TestKeysThatCannotCountAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	own, second := sshSigner(t), sshSigner(t)
	key := strings.TrimSpace(sshPublic(own))
	good := pgpPublic(t, pgpKey(t, nil))
	certificate := &ssh.Certificate{Key: own.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := certificate.SignCert(rand.Reader, second); err != nil {
		t.Fatal(err)
	}
	small := must[ssh.PublicKey](t)(ssh.NewPublicKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}))
	for want, text := range map[string]string{
		"line 1 of the SSH key: is an RSA key of 1024 bits; use at least 2048": string(ssh.MarshalAuthorizedKey(small)),
		"signer x: has no key": " \n# nobody\n",
		"signer x: that is a private key; it belongs to its owner alone, replace it and give the public one":     "-----BEGIN OPENSSH PRIVATE KEY-----\nplanted\n-----END OPENSSH PRIVATE KEY-----",
		"signer x: want an armored OpenPGP public key or an SSH public key as in id_ed25519.pub":                 "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n",
		`signer x: the OpenPGP key is malformed: want one block of "PGP PUBLIC KEY BLOCK" and nothing beside it`: good + "and more",
		"signer x: the OpenPGP key is malformed: the armor is broken":                                            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!\n-----END PGP PUBLIC KEY BLOCK-----",
		"line 1 of the SSH key: is no public key":                                                                "ssh-ed25519 AAAA",
		"line 2 of the SSH key: is no public key":                                                                key + "\nplanted",
		`line 1 of the SSH key: namespaces="file" leaves out "git"`:                                              `ada namespaces="file" ` + key,
		"line 1 of the SSH key: namespaces with exceptions are not supported":                                    `ada namespaces="*,!git" ` + key,
		"line 1 of the SSH key: certificate authorities are not supported":                                       "ada cert-authority " + key,
		`line 1 of the SSH key: "cert-authority" stands where the principals belong`:                             "cert-authority " + key,
		`line 1 of the SSH key: "from=\"10.0.0.1\"" stands where the principals belong`:                          `from="10.0.0.1" ` + key,
		`line 1 of the SSH key: the option "from" is not supported`:                                              `ada from="10.0.0.1" ` + key,
		`line 1 of the SSH key: "2026" is no time`:                                                               `ada valid-after="2026" ` + key,
		`line 1 of the SSH key: "20261301" is no time`:                                                           `ada valid-after="20261301" ` + key,
		"line 1 of the SSH key: is a certificate":                                                                string(ssh.MarshalAuthorizedKey(certificate)),
		"signer x: the SSH key " + ssh.FingerprintSHA256(own.PublicKey()) + " is also that of signer x":          key + "\n" + key,
		"the key takes more than 1024 KiB":                                                                       strings.Repeat("x", 1<<20+1),
	} {
		_, err := gitsync.NewSigners([]gitsync.Signer{{Name: "x", Key: text}})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%v; want %s", err, want)
		}
	}
	_, err := gitsync.NewSigners([]gitsync.Signer{{Name: "a", Key: good}, {Name: "b", Key: good}, {Key: key}, {Name: "d"}})
	for _, want := range []string{"is also that of signer a", "signer 3 has no name", "signer d: has no key"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	own, pgp := sshSigner(f), pgpKey(f, nil)
	known := signers(f, sshPublic(own), pgpPublic(f, pgp))
	ssh, gpg := sshText(sshSign(f, own, "git")), pgpText(f, pgpSign(f, pgp.PrivateKey, nil))
	f.Add(ssh, payload)
	f.Add(gpg, payload)
	f.Add("-----BEGIN SIGNED MESSAGE-----\n", payload)
	f.Fuzz(func(t *testing.T, text string, content []byte) {
		by, err := known.Verify(gitsync.Signature{Text: text, Payload: content}, now)
		if (err == nil) != (by != gitsync.SignedBy{}) {
			t.Errorf("%+v, %v", by, err)
		}
		if err == nil && !bytes.Equal(content, payload) {
			t.Errorf("%q counts for %q", text, content)
		}
	})
}

func FuzzNewSigners(f *testing.F) {
	f.Add(sshPublic(sshSigner(f)))
	f.Add("ada@example.org valid-after=\"20260101\",namespaces=\"git\" " + sshPublic(sshSigner(f)))
	f.Add(pgpPublic(f, pgpKey(f, nil)))
	f.Fuzz(func(t *testing.T, key string) {
		s, err := gitsync.NewSigners([]gitsync.Signer{{Name: "x", Key: key}})
		if err != nil {
			return
		}
		if _, err := s.Verify(gitsync.Signature{}, now); err == nil {
			t.Error("an unsigned commit counts")
		}
	})
}
