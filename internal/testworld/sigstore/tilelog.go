package sigstore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	bundlepb "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonpb "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssepb "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekorpb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	tilespb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/dsse"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/rfc6962"
	merkle "github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protojson"
)

// tileLog is Rekor 2, whose entries have a proof of inclusion and a
// checkpoint, but no promise and no time: who needs the time asks a timestamp
// authority.
type tileLog struct {
	key    *ecdsa.PrivateKey
	signer note.Signer

	mu   sync.Mutex
	tree *merkle.Tree
}

const tilesHost = "log2026-1.rekor.sigstore.test"

func newTileLog() (*tileLog, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	signer, err := signature.LoadECDSASignerVerifier(key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	l := &tileLog{key: key, tree: merkle.New(rfc6962.DefaultHasher)}
	l.tree.AppendData([]byte("an entry of somebody else, so that a proof has something to prove"))
	l.signer, err = rekornote.NewNoteSigner(context.Background(), tilesHost, signer)
	return l, err
}

// add logs an envelope by a certificate or a public key, both in PEM.
func (l *tileLog) add(envelope, verifier []byte) (*rekorpb.TransparencyLogEntry, error) {
	body, err := tileEntry(envelope, verifier)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	index := l.tree.Size()
	l.tree.AppendData(body)
	size, root := l.tree.Size(), l.tree.Hash()
	path, err := l.tree.InclusionProof(index, size)
	if err != nil {
		return nil, fmt.Errorf("prove entry %d: %w", index, err)
	}
	text := log.Checkpoint{Origin: tilesHost, Size: size, Hash: root}.Marshal()
	checkpoint, err := note.Sign(&note.Note{Text: string(text)}, l.signer)
	if err != nil {
		return nil, err
	}
	id := logID(l.key.Public())
	return &rekorpb.TransparencyLogEntry{
		LogIndex: int64(index), LogId: &commonpb.LogId{KeyId: id[:]},
		KindVersion: &rekorpb.KindVersion{Kind: "dsse", Version: "0.0.2"},
		InclusionProof: &rekorpb.InclusionProof{
			LogIndex: int64(index), RootHash: root, TreeSize: int64(size), Hashes: path,
			Checkpoint: &rekorpb.Checkpoint{Envelope: string(checkpoint)},
		},
		CanonicalizedBody: body,
	}, nil
}

// tileEntry is the body that Rekor 2 keeps. Its own code makes it, and refuses
// a signature that is none.
func tileEntry(envelope, verifier []byte) ([]byte, error) {
	var e struct {
		Payload     []byte `json:"payload"`
		PayloadType string `json:"payloadType"`
		Signatures  []struct {
			Sig []byte `json:"sig"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(envelope, &e); err != nil {
		return nil, err
	}
	asked := &tilespb.DSSERequestV002{Envelope: &dssepb.Envelope{Payload: e.Payload, PayloadType: e.PayloadType}}
	for _, s := range e.Signatures {
		asked.Envelope.Signatures = append(asked.Envelope.Signatures, &dssepb.Signature{Sig: s.Sig})
	}
	block, _ := pem.Decode(verifier)
	if block == nil {
		return nil, errors.New("who signed is not in PEM")
	}
	by := &tilespb.Verifier{KeyDetails: commonpb.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256}
	if block.Type == "CERTIFICATE" {
		by.Verifier = &tilespb.Verifier_X509Certificate{X509Certificate: &commonpb.X509Certificate{RawBytes: block.Bytes}}
	} else {
		by.Verifier = &tilespb.Verifier_PublicKey{PublicKey: &tilespb.PublicKey{RawBytes: block.Bytes}}
	}
	asked.Verifiers = []*tilespb.Verifier{by}
	algorithms, err := signature.NewAlgorithmRegistryConfig([]commonpb.PublicKeyDetails{by.KeyDetails})
	if err != nil {
		return nil, err
	}
	entry, err := dsse.ToLogEntry(asked, algorithms)
	if err != nil {
		return nil, err
	}
	text, err := protojson.Marshal(entry)
	if err != nil {
		return nil, err
	}
	return jsoncanonicalizer.Transform(text)
}

// withTile puts the entry into a bundle.
func withTile(packed []byte, entry *rekorpb.TransparencyLogEntry) ([]byte, error) {
	var b bundlepb.Bundle
	if err := protojson.Unmarshal(packed, &b); err != nil {
		return nil, err
	}
	b.VerificationMaterial.TlogEntries = []*rekorpb.TransparencyLogEntry{entry}
	return protojson.Marshal(&b)
}
