package sigstore

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/go-openapi/strfmt"
	"github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/rekor/pkg/types/dsse"
	dssev001 "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	"github.com/sigstore/rekor/pkg/types/hashedrekord"
	hashedrekordv001 "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
	merkle "github.com/transparency-dev/merkle/testonly"
)

// transparencyLog is Rekor: it takes entries, which it checks as Rekor does,
// and answers with a signed entry timestamp, a proof of inclusion and a
// checkpoint.
type transparencyLog struct {
	key    *ecdsa.PrivateKey
	signer signature.Signer
	id     string

	mu   sync.Mutex
	tree *merkle.Tree
}

// Numbers of Rekor's that only have to be there: the tree that an entry is in,
// and how many entries older trees hold.
const (
	treeID = 1193050959916656506
	before = 25_579
)

func newTransparencyLog() (*transparencyLog, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	signer, err := signature.LoadECDSASignerVerifier(key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	id := logID(key.Public())
	l := &transparencyLog{key: key, signer: signer, id: hex.EncodeToString(id[:]), tree: merkle.New(rfc6962.DefaultHasher)}
	l.tree.AppendData([]byte("an entry of somebody else, so that a proof has something to prove"))
	return l, nil
}

// entryOfText is the entry that `cosign sign` asks for.
func entryOfText(ctx context.Context, digest [32]byte, signature, certificate []byte) ([]byte, error) {
	return canonical(ctx, hashedrekord.KIND, hashedrekordv001.APIVERSION, types.ArtifactProperties{
		ArtifactHash: hex.EncodeToString(digest[:]), SignatureBytes: signature, PublicKeyBytes: [][]byte{certificate}, PKIFormat: "x509",
	})
}

// entryOfEnvelope is the entry that `cosign attest` asks for, and all who
// write bundles.
func entryOfEnvelope(ctx context.Context, envelope, certificate []byte) ([]byte, error) {
	return canonical(ctx, dsse.KIND, dssev001.APIVERSION, types.ArtifactProperties{
		ArtifactBytes: envelope, PublicKeyBytes: [][]byte{certificate},
	})
}

// canonical is the body that Rekor keeps of what it was sent. Rekor's own code
// makes it, and refuses a signature that is none.
func canonical(ctx context.Context, kind, version string, properties types.ArtifactProperties) ([]byte, error) {
	proposed, err := types.NewProposedEntry(ctx, kind, version, properties)
	if err != nil {
		return nil, err
	}
	entry, err := types.CreateVersionedEntry(proposed)
	if err != nil {
		return nil, err
	}
	return types.CanonicalizeEntry(ctx, entry)
}

// add logs a body.
func (l *transparencyLog) add(ctx context.Context, body []byte, at time.Time) (*models.LogEntryAnon, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	index := l.tree.Size()
	l.tree.AppendData(body)
	size := l.tree.Size()
	path, err := l.tree.InclusionProof(index, size)
	if err != nil {
		return nil, fmt.Errorf("prove entry %d: %w", index, err)
	}
	var hashes []string
	for _, hash := range path {
		hashes = append(hashes, hex.EncodeToString(hash))
	}
	checkpoint, err := util.CreateAndSignCheckpoint(ctx, rekorHost, treeID, size, l.tree.Hash(), l.signer)
	if err != nil {
		return nil, err
	}
	logged := bundle.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: at.Unix(), LogIndex: before + int64(index), LogID: l.id,
	}
	promise, err := l.sign(logged)
	if err != nil {
		return nil, err
	}
	return &models.LogEntryAnon{
		Body: logged.Body, IntegratedTime: &logged.IntegratedTime, LogIndex: &logged.LogIndex, LogID: &l.id,
		Verification: &models.LogEntryAnonVerification{
			SignedEntryTimestamp: strfmt.Base64(promise),
			InclusionProof: &models.InclusionProof{
				LogIndex: ptr(int64(index)), TreeSize: ptr(int64(size)), RootHash: ptr(hex.EncodeToString(l.tree.Hash())),
				Hashes: hashes, Checkpoint: ptr(string(checkpoint)),
			},
		},
	}, nil
}

// sign makes the signed entry timestamp: of the canonical JSON of the entry.
func (l *transparencyLog) sign(entry bundle.RekorPayload) ([]byte, error) {
	text, err := json.Marshal(entry)
	if err != nil {
		return nil, err
	}
	if text, err = jsoncanonicalizer.Transform(text); err != nil {
		return nil, err
	}
	return l.signer.SignMessage(bytes.NewReader(text))
}

func ptr[T any](v T) *T { return &v }
