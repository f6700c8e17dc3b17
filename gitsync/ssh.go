package gitsync

import (
	"bytes"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// sshNamespace is what git puts into its SSH signatures, so that a signature
// made for a file or a mail does not pass for one of a commit.
const sshNamespace = "git"

type sshKey struct {
	signer        string
	key           ssh.PublicKey
	after, before time.Time // when it is valid; zero for no bound
}

// sshKinds are the kinds of keys that count, and what their signatures call
// themselves. DSA and certificates are not among them.
var sshKinds = map[string][]string{
	ssh.KeyAlgoED25519:    {ssh.KeyAlgoED25519},
	ssh.KeyAlgoECDSA256:   {ssh.KeyAlgoECDSA256},
	ssh.KeyAlgoECDSA384:   {ssh.KeyAlgoECDSA384},
	ssh.KeyAlgoECDSA521:   {ssh.KeyAlgoECDSA521},
	ssh.KeyAlgoSKED25519:  {ssh.KeyAlgoSKED25519},
	ssh.KeyAlgoSKECDSA256: {ssh.KeyAlgoSKECDSA256},
	ssh.KeyAlgoRSA:        {ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512},
}

func (s *Signers) addSSH(name, text string) error {
	found := false
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := parseSSHLine(line)
		if err != nil {
			return fmt.Errorf("line %d of the SSH key: %w", number, err)
		}
		found = true
		fingerprint := ssh.FingerprintSHA256(key.key)
		if other, twice := s.ssh[fingerprint]; twice {
			return fmt.Errorf("the SSH key %s is also that of signer %s", fingerprint, other.signer)
		}
		key.signer = name
		s.ssh[fingerprint] = key
	}
	if !found {
		return errors.New("has no key")
	}
	return nil
}

// parseSSHLine reads a public key, or a line of an allowed_signers file. The
// principals of the latter say nothing here: the signer's name does.
func parseSSHLine(line string) (sshKey, error) {
	if first := strings.Fields(line)[0]; !isSSHKeyType(first) {
		if isSSHOption(first) {
			return sshKey{}, fmt.Errorf("%q stands where the principals belong; want a public key without options, or principals, options and key as in an allowed_signers file", clean(first))
		}
		line = strings.TrimSpace(strings.TrimPrefix(line, first))
	}
	public, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return sshKey{}, errors.New(`is no public key; want "ssh-ed25519 AAAA…", or principals before it as in an allowed_signers file`)
	}
	if problem := sshWeakness(public); problem != "" {
		return sshKey{}, errors.New(problem)
	}
	key := sshKey{key: public}
	for _, option := range options {
		if err := key.option(option); err != nil {
			return sshKey{}, err
		}
	}
	return key, nil
}

func isSSHKeyType(word string) bool {
	return strings.HasPrefix(word, "ssh-") || strings.HasPrefix(word, "ecdsa-sha2-") || strings.HasPrefix(word, "sk-")
}

// isSSHOption tells options from principals: taken for the latter, a
// restriction would be passed over.
func isSSHOption(word string) bool {
	return strings.ContainsAny(word, `="`) || strings.HasPrefix(word, "no-") || word == "restrict" || word == "cert-authority"
}

// option applies an option of allowed_signers; one that is not understood may
// not be passed over, for it restricts the key.
func (k *sshKey) option(option string) (err error) {
	name, value, _ := strings.Cut(option, "=")
	value = strings.Trim(value, `"`)
	switch strings.ToLower(name) {
	case "namespaces":
		patterns := strings.Split(value, ",")
		if !slices.Contains(patterns, sshNamespace) && !slices.Contains(patterns, "*") {
			return fmt.Errorf("namespaces=%q leaves out %q, so no commit can be signed with it", value, sshNamespace)
		}
		if slices.ContainsFunc(patterns, func(p string) bool { return strings.HasPrefix(p, "!") }) {
			return errors.New("namespaces with exceptions are not supported; list the names")
		}
	case "valid-after":
		k.after, err = sshTime(value)
	case "valid-before":
		k.before, err = sshTime(value)
	case "cert-authority":
		err = errors.New("certificate authorities are not supported; list the keys themselves")
	default:
		err = fmt.Errorf("the option %q is not supported; allowed are namespaces, valid-after and valid-before", name)
	}
	return err
}

// sshTime reads a time of allowed_signers. ssh-keygen takes one without a Z for
// local time; the agent has no locality, so it is UTC.
func sshTime(value string) (time.Time, error) {
	digits := strings.TrimSuffix(strings.TrimSuffix(value, "Z"), "z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(digits) == len(layout) {
			if t, err := time.Parse(layout, digits); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; want YYYYMMDD or YYYYMMDDHHMM, with Z for UTC", value)
}

// sshWeakness says why no signature by a key counts, or nothing.
func sshWeakness(key ssh.PublicKey) string {
	if _, ok := key.(*ssh.Certificate); ok {
		return "is a certificate; those are not supported, give the key itself"
	}
	if sshKinds[key.Type()] == nil {
		return fmt.Sprintf("the kind %s is outdated; use ssh-ed25519", key.Type())
	}
	if c, ok := key.(ssh.CryptoPublicKey); ok {
		if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() < leastRSA {
			return fmt.Sprintf("is an RSA key of %d bits; use at least %d, or ssh-ed25519", r.N.BitLen(), leastRSA)
		}
	}
	return ""
}

func (s Signers) verifySSH(text string, payload []byte, now time.Time) (SignedBy, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != sshsig.PEMType || len(bytes.TrimSpace(rest)) > 0 || len(block.Headers) > 0 {
		return SignedBy{}, malformed(SSH, "the armor is broken, or there is something beside it")
	}
	sig, err := sshsig.ParseSignature(block.Bytes)
	if err != nil {
		return SignedBy{}, malformed(SSH, "it cannot be read")
	}
	refused := &SignatureRefused{Kind: SSH, Key: ssh.FingerprintSHA256(sig.PublicKey)}
	no := func(p SignatureProblem, detail string) (SignedBy, error) {
		refused.Problem, refused.Detail = p, detail
		return SignedBy{}, refused
	}
	if _, ok := sig.PublicKey.(*ssh.Certificate); ok {
		return no(UnsupportedSignature, "it is by an SSH certificate; sign with the key itself")
	}
	known, ok := s.ssh[refused.Key]
	if !ok {
		return no(UnknownKey, "")
	}
	refused.Signer = known.signer
	switch {
	case sig.Namespace != sshNamespace:
		return no(KeyMisused, fmt.Sprintf("it was made for %q, those of commits are for %q", clean(sig.Namespace), sshNamespace))
	case !slices.Contains(sshKinds[known.key.Type()], sig.Signature.Format):
		return no(WeakSignature, fmt.Sprintf("a %s key signed as %q", known.key.Type(), clean(sig.Signature.Format)))
	case len(sig.Signature.Rest) > 0 && !strings.HasPrefix(known.key.Type(), "sk-"):
		return no(MalformedSignature, "there is something after it")
	}
	if err := sshsig.Verify(bytes.NewReader(payload), sig, known.key, sig.HashAlgorithm, sshNamespace); err != nil {
		return no(WrongContent, "")
	}
	if !known.after.IsZero() && now.Before(known.after) || !known.before.IsZero() && !now.Before(known.before) {
		return no(KeyExpired, "")
	}
	return SignedBy{Signer: known.signer, Kind: SSH, Key: refused.Key}, nil
}

// clean is a word of a stranger, short and on one line.
func clean(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
