package gitsync

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// leastRSA is the size in bits below which RSA keys are refused.
const leastRSA = 2048

func (s *Signers) addOpenPGP(name, text string) error {
	raw, err := dearmor(text, openpgp.PublicKeyType)
	if err != nil {
		return fmt.Errorf("the OpenPGP key is malformed: %w", err)
	}
	entities, err := openpgp.ReadKeyRing(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("the OpenPGP key cannot be read: %w", err)
	}
	for _, e := range entities {
		fingerprint := fingerprintOf(e.PrimaryKey)
		if self, _ := e.PrimarySelfSignature(); self == nil {
			return fmt.Errorf("the OpenPGP key %s is not signed by itself", fingerprint)
		}
		if err := signsWell(e); err != nil {
			return fmt.Errorf("the OpenPGP key %s: %w", fingerprint, err)
		}
		for _, other := range s.openpgp {
			if bytes.Equal(other.entity.PrimaryKey.Fingerprint, e.PrimaryKey.Fingerprint) {
				return fmt.Errorf("the OpenPGP key %s is also that of signer %s", fingerprint, other.signer)
			}
		}
		s.openpgp = append(s.openpgp, openpgpKey{name, e})
	}
	return nil
}

// signsWell reports why no signature by any of the keys could ever count.
func signsWell(e *openpgp.Entity) error {
	all := openpgp.EntityList{e}
	ids := []uint64{e.PrimaryKey.KeyId}
	for _, k := range e.Subkeys {
		ids = append(ids, k.PublicKey.KeyId)
	}
	problem := errors.New("is not for signing")
	for _, id := range ids {
		for _, k := range all.KeysByIdUsage(id, packet.KeyFlagSign) {
			weak := weakness(k.PublicKey)
			if weak == "" {
				return nil
			}
			problem = errors.New(weak)
		}
	}
	return problem
}

// weakness says why signatures by a key can be forged, or nothing.
func weakness(k *packet.PublicKey) string {
	switch k.PubKeyAlgo {
	case packet.PubKeyAlgoDSA, packet.PubKeyAlgoElGamal:
		return "is of an outdated kind; use Ed25519, ECDSA or RSA"
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly, packet.PubKeyAlgoRSAEncryptOnly:
		if bits, err := k.BitLength(); err != nil || bits < leastRSA {
			return fmt.Sprintf("is an RSA key of %d bits; use at least %d", bits, leastRSA)
		}
	}
	return ""
}

// strongHashes are those in which nobody finds two contents with one signature.
var strongHashes = map[crypto.Hash]bool{
	crypto.SHA256: true, crypto.SHA384: true, crypto.SHA512: true, crypto.SHA3_256: true, crypto.SHA3_512: true,
}

func (s Signers) verifyOpenPGP(text string, payload []byte, now time.Time) (SignedBy, error) {
	raw, err := dearmor(text, openpgp.SignatureType)
	if err != nil {
		return SignedBy{}, malformed(OpenPGP, err.Error())
	}
	reader := bytes.NewReader(raw)
	p, err := packet.Read(reader)
	if err != nil {
		return SignedBy{}, malformed(OpenPGP, "it cannot be read")
	}
	sig, ok := p.(*packet.Signature)
	if !ok {
		return SignedBy{}, malformed(OpenPGP, "it holds something that is no signature")
	}
	if reader.Len() > 0 {
		return SignedBy{}, malformed(OpenPGP, "it holds more than one signature")
	}
	if sig.IssuerKeyId == nil {
		return SignedBy{}, malformed(OpenPGP, "it does not say by which key it is")
	}
	refused := &SignatureRefused{Kind: OpenPGP, Key: fmt.Sprintf("%016X", *sig.IssuerKeyId)}
	if len(sig.IssuerFingerprint) > 0 {
		refused.Key = strings.ToUpper(hex.EncodeToString(sig.IssuerFingerprint))
	}
	no := func(p SignatureProblem, detail string) (SignedBy, error) {
		refused.Problem, refused.Detail = p, detail
		return SignedBy{}, refused
	}

	signer, key := s.findOpenPGP(sig)
	if key == nil {
		return no(UnknownKey, "")
	}
	refused.Signer, refused.Key = signer, fingerprintOf(key.PublicKey)
	switch {
	case sig.SigType != packet.SigTypeBinary:
		// A signature over another key, say, whose bytes a commit could be made to hold.
		return no(KeyMisused, fmt.Sprintf("its type is 0x%02x, that of files is 0x00", uint8(sig.SigType)))
	case !strongHashes[sig.Hash]:
		return no(WeakSignature, fmt.Sprintf("it is of a %s sum; use SHA-256 or SHA-512", sig.Hash))
	}
	for _, n := range sig.Notations {
		if n.IsCritical {
			return no(UnsupportedSignature, fmt.Sprintf("it demands that %q be understood", clean(n.Name)))
		}
	}
	if weak := weakness(key.PublicKey); weak != "" {
		return no(WeakSignature, fmt.Sprintf("the key %s %s", refused.Key, weak))
	}
	keyring := openpgp.EntityList{key.Entity}
	if len(keyring.KeysByIdUsage(key.PublicKey.KeyId, packet.KeyFlagSign)) == 0 {
		return no(KeyMisused, fmt.Sprintf("the key %s of %s is not for signing", refused.Key, signer))
	}
	// The clock of whoever signed may be ahead of ours. Judging the key at the
	// later of both times can only refuse more.
	at := now
	if sig.CreationTime.After(at) {
		at = sig.CreationTime
	}
	_, _, err = openpgp.VerifyDetachedSignature(keyring, bytes.NewReader(payload), bytes.NewReader(raw), &packet.Config{Time: func() time.Time { return at }})
	switch {
	case err == nil && (key.Entity.Revoked(now) || key.Revoked(now)), errors.Is(err, pgperrors.ErrKeyRevoked):
		return no(KeyRevoked, "")
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return no(KeyExpired, "")
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return no(KeyExpired, "the signature itself was to hold for a while only")
	case errors.As(err, new(pgperrors.SignatureError)):
		return no(WrongContent, "")
	case err != nil:
		return no(MalformedSignature, "it cannot be checked")
	}
	return SignedBy{Signer: signer, Kind: OpenPGP, Key: refused.Key}, nil
}

// findOpenPGP looks for the key that a signature names.
func (s Signers) findOpenPGP(sig *packet.Signature) (signer string, key *openpgp.Key) {
	for _, one := range s.openpgp {
		for _, k := range (openpgp.EntityList{one.entity}).KeysById(*sig.IssuerKeyId) {
			// Ids are short enough for somebody to make a key with a given one.
			if sig.CheckKeyIdOrFingerprint(k.PublicKey) {
				return one.signer, &k
			}
		}
	}
	return "", nil
}

func fingerprintOf(k *packet.PublicKey) string {
	return strings.ToUpper(hex.EncodeToString(k.Fingerprint))
}

// dearmor returns what is in an armor that holds one block and nothing beside it.
func dearmor(text, kind string) ([]byte, error) {
	if !strings.HasPrefix(text, "-----BEGIN "+kind+"-----") || !strings.HasSuffix(text, "-----END "+kind+"-----") || strings.Count(text, "-----END") != 1 || strings.Count(text, "-----BEGIN") != 1 {
		return nil, fmt.Errorf("want one block of %q and nothing beside it", kind)
	}
	block, err := armor.Decode(strings.NewReader(text))
	if err != nil || block.Type != kind {
		return nil, errors.New("the armor is broken")
	}
	raw, err := io.ReadAll(block.Body)
	if err != nil || len(raw) == 0 {
		return nil, errors.New("the armor is broken")
	}
	return raw, nil
}
