package cosign

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/pawl-dev/pawl/policies"
)

// material is a trust root that was read, and when what is in it ends. Nothing
// refreshes it: who gives the agent another file gives it another root.
type material struct {
	root                                          *root.TrustedRoot
	authorities, transparency, timestamps, ctLogs ends
}

// ends are when the authorities or logs of one kind cease to count, sorted;
// never is last.
type ends []time.Time

// never is how the end of what has none is written.
var never = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

func readMaterial(raw []byte) (m *material, err error) {
	defer noPanic(&err)
	if len(raw) == 0 {
		return nil, errors.New("is missing; give it a trusted_root.json")
	}
	parsed, err := root.NewTrustedRootProtobuf(raw)
	if err != nil {
		// The library's words would quote the file, whatever file it is.
		return nil, errors.New("cannot be read; give it the trusted_root.json of its Sigstore")
	}
	trusted, err := root.NewTrustedRootFromProtobuf(parsed)
	if err != nil {
		return nil, fmt.Errorf("cannot be used: %w", err)
	}
	m = &material{root: trusted}
	for _, a := range trusted.FulcioCertificateAuthorities() {
		if ca, ok := a.(*root.FulcioCertificateAuthority); ok {
			m.authorities = append(m.authorities, endOf(ca.ValidityPeriodEnd, append(slices.Clone(ca.Intermediates), ca.Root)...))
		}
	}
	for _, a := range trusted.TimestampingAuthorities() {
		if tsa, ok := a.(*root.SigstoreTimestampingAuthority); ok {
			m.timestamps = append(m.timestamps, endOf(tsa.ValidityPeriodEnd, append(slices.Clone(tsa.Intermediates), tsa.Root, tsa.Leaf)...))
		}
	}
	for log := range maps.Values(trusted.RekorLogs()) {
		m.transparency = append(m.transparency, endOf(log.ValidityPeriodEnd))
	}
	for log := range maps.Values(trusted.CTLogs()) {
		m.ctLogs = append(m.ctLogs, endOf(log.ValidityPeriodEnd))
	}
	for _, e := range []ends{m.authorities, m.transparency, m.timestamps, m.ctLogs} {
		slices.SortFunc(e, time.Time.Compare)
	}
	return m, nil
}

// endOf is the first moment at which one of them has ended.
func endOf(period time.Time, chain ...*x509.Certificate) time.Time {
	end := never
	if !period.IsZero() {
		end = period
	}
	for _, c := range chain {
		if c != nil && c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}

// usable says until when the material has all that the root demands. One of
// which everything of a kind has ended is out of date: what it still knows to
// verify is old, and what replaced it, and why, it does not know.
func (m *material) usable(r policies.Root, now time.Time) (until time.Time, err error) {
	until = never
	for _, part := range []struct {
		demanded bool
		ends     ends
		name     string
	}{
		{true, m.authorities, "certificate authority"},
		{r.TransparencyLog, m.transparency, "transparency log"},
		{r.Timestamp, m.timestamps, "timestamp authority"},
		{r.CertificateLog, m.ctLogs, "certificate log"},
	} {
		if !part.demanded {
			continue
		}
		if len(part.ends) == 0 {
			return time.Time{}, fmt.Errorf("has no %s, which is demanded; give it a trusted_root.json that has one, or change what it demands", part.name)
		}
		last := part.ends[len(part.ends)-1]
		if !now.Before(last) {
			return time.Time{}, fmt.Errorf("is out of date: the last %s in it ended on %s; give it the current trusted_root.json", part.name, last.UTC().Format(time.DateTime))
		}
		if last.Before(until) {
			until = last
		}
	}
	return until, nil
}

// roots remembers trust roots that were read, by content.
type roots struct {
	mu   sync.Mutex
	read map[[sha256.Size]byte]func() (*material, error)
}

// maxRoots is far more than a configuration has; they change rarely.
const maxRoots = 64

func (r *roots) material(raw []byte) (*material, error) {
	key := sha256.Sum256(raw)
	r.mu.Lock()
	if r.read == nil || len(r.read) > maxRoots {
		r.read = map[[sha256.Size]byte]func() (*material, error){}
	}
	read, ok := r.read[key]
	if !ok {
		read = sync.OnceValues(func() (*material, error) { return readMaterial(raw) })
		r.read[key] = read
	}
	r.mu.Unlock()
	return read()
}

// signer is who may sign, with what it takes to check it.
type signer struct {
	policies.Signer
	*material
	until   time.Time // when an identity's root is no longer usable
	problem error     // why no signature of an identity can count
}

// signers makes them ready. A root that cannot be used lets nothing count that
// needs it, and the others are not affected.
func (r *roots) signers(trusted []policies.Signer, now time.Time) []signer {
	out := make([]signer, 0, len(trusted))
	for _, t := range trusted {
		s := signer{Signer: t, until: never}
		if t.Identity != nil {
			var err error
			if s.material, err = r.material(t.Identity.Root.JSON); err == nil {
				s.until, err = s.material.usable(t.Identity.Root, now)
			}
			if err != nil {
				s.problem = fmt.Errorf("the trust root %q %w", t.Identity.Root.Name, err)
			}
		}
		out = append(out, s)
	}
	return out
}
