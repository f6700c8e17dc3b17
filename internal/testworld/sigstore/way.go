package sigstore

import (
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Way is how a signature is made. The zero value is the genuine way, at this
// moment; what is set makes another time of it, or a forgery: what somebody
// could do who may write to the registry and to the public logs.
type Way struct {
	// At is when it is signed, logged and timestamped; zero means now. Made in
	// time and verified years later, it is as genuine as before.
	At time.Time
	// CertifiedAt is when the certificate was issued, which lasts ten minutes;
	// zero means At.
	CertifiedAt time.Time
	// Claiming is the image that is signed; none means the one that the
	// signature is attached to.
	Claiming *name.Digest
	// Tiles logs in Rekor 2, as the newest clients do: the entry tells no time,
	// and is only in bundles.
	Tiles bool

	// Certificate may be Genuine or Strange: of another authority, to the same
	// identity.
	Certificate Part
	// SCT is the certificate's timestamp.
	SCT Part
	// Entry is the one in the transparency log.
	Entry Part
	// Timestamp is that of the timestamp authority.
	Timestamp Part
	// Stranger makes what is Strange.
	Stranger *Sigstore
}

// Part is what is wrong with a part of a signature.
type Part int

const (
	// Genuine has nothing wrong.
	Genuine Part = iota
	// Missing is not there.
	Missing
	// OfAnother is a true one, made for something else: an SCT of another
	// certificate, a timestamp of other bytes, the entry of another artifact
	// that the same certificate signed.
	OfAnother
	// OfAnybody is, as an entry only, a true one of another artifact that
	// somebody else signed.
	OfAnybody
	// OtherKey is, as an entry only, one of this very signature by another
	// key. Rekor takes it: for each ECDSA signature there is a second key by
	// which it verifies.
	OtherKey
	// Strange is by the Stranger, who is not trusted.
	Strange
)

// Forgeries are all the ways that must be refused, whatever the trust root's
// owner demands: a certificate timestamp, a log entry and, in the last few,
// time. other is any image that is not the one that will be looked at.
func Forgeries(other name.Digest, stranger *Sigstore) map[string]Way {
	hourAgo := time.Now().Add(-time.Hour)
	return map[string]Way{
		"claims another digest":                            {Claiming: &other},
		"certificate of another authority":                 {Certificate: Strange, Stranger: stranger},
		"everything by another Sigstore":                   {Certificate: Strange, SCT: Strange, Entry: Strange, Timestamp: Strange, Stranger: stranger},
		"certificate without a timestamp of a log":         {SCT: Missing},
		"certificate with the timestamp of another":        {SCT: OfAnother},
		"certificate with the timestamp of an unknown log": {SCT: Strange, Stranger: stranger},
		"no log entry":                          {Entry: Missing},
		"log entry of another artifact":         {Entry: OfAnother},
		"log entry of somebody else's artifact": {Entry: OfAnybody},
		"log entry with another key":            {Entry: OtherKey},
		"log entry of an unknown log":           {Entry: Strange, Stranger: stranger},
		"expired certificate":                   {CertifiedAt: hourAgo},
		"expired certificate without any time":  {CertifiedAt: hourAgo, Entry: Missing, Timestamp: Missing},
		"certificate that was not yet valid":    {At: hourAgo, CertifiedAt: hourAgo.Add(30 * time.Minute)},
	}
}

// Timeless are the ways that must be refused where a timestamp of the
// authority is demanded, instead of a log entry or beside it.
func Timeless(stranger *Sigstore) map[string]Way {
	return map[string]Way{
		"no timestamp":                      {Timestamp: Missing},
		"timestamp of other bytes":          {Timestamp: OfAnother},
		"timestamp of an unknown authority": {Timestamp: Strange, Stranger: stranger},
	}
}
