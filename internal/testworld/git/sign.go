package git

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// SigningKey signs commits, as Commit.Sign wants it.
type SigningKey struct {
	// Public is the public key, as its owner would hand it out.
	Public string
	// Fingerprint is as gpg or ssh-keygen show it.
	Fingerprint string
	Sign        func(payload []byte) (string, error)
}

// NewSSHKey makes an Ed25519 key that signs as `git commit -S` does with
// gpg.format=ssh.
func NewSSHKey() (SigningKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SigningKey{}, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return SigningKey{}, err
	}
	return SigningKey{
		Public:      strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))),
		Fingerprint: ssh.FingerprintSHA256(signer.PublicKey()),
		Sign: func(payload []byte) (string, error) {
			sig, err := sshsig.Sign(bytes.NewReader(payload), signer, sshsig.HashSHA512, "git")
			if err != nil {
				return "", err
			}
			return string(sshsig.Armor(sig)), nil
		},
	}, nil
}

// NewOpenPGPKey makes a key that signs as `git commit -S` does with gpg.
func NewOpenPGPKey(name string) (SigningKey, error) {
	entity, err := openpgp.NewEntity(name, "", name+"@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		return SigningKey{}, err
	}
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err != nil {
		return SigningKey{}, err
	}
	if err := entity.Serialize(w); err != nil {
		return SigningKey{}, err
	}
	if err := w.Close(); err != nil {
		return SigningKey{}, err
	}
	return SigningKey{
		Public:      public.String(),
		Fingerprint: fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint),
		Sign: func(payload []byte) (string, error) {
			var signature bytes.Buffer
			if err := openpgp.ArmoredDetachSign(&signature, entity, bytes.NewReader(payload), nil); err != nil {
				return "", err
			}
			return signature.String() + "\n", nil
		},
	}, nil
}

// sign replaces a commit by the same with a signature.
func (r *Repository) sign(ctx context.Context, sha string, sign func([]byte) (string, error)) (string, error) {
	raw, err := r.Run(ctx, "cat-file", "commit", sha)
	if err != nil {
		return "", err
	}
	signature, err := sign([]byte(raw))
	if err != nil {
		return "", err
	}
	headers, message, _ := strings.Cut(raw, "\n\n")
	header := "gpgsig " + strings.ReplaceAll(strings.TrimRight(signature, "\n"), "\n", "\n ")
	return r.Write(ctx, "commit", headers+"\n"+header+"\n\n"+message)
}

// Write stores an object as it is given, sound or not, and returns its id.
func (r *Repository) Write(ctx context.Context, kind, content string) (string, error) {
	out, err := r.Do(ctx, Command{Args: []string{"hash-object", "-t", kind, "-w", "--literally", "--stdin"}, Stdin: strings.NewReader(content)})
	return strings.TrimSpace(out), err
}
