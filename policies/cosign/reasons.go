package cosign

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/policies"
)

// missing says what a signature lacks of that which the root demands.
func missing(r policies.Root, c *x509.Certificate, entry, timestamp bool) error {
	switch {
	case r.TransparencyLog && !entry:
		return fmt.Errorf("it has no entry in the transparency log, which the trust root %q demands", r.Name)
	case r.Timestamp && !timestamp:
		return fmt.Errorf("it has no timestamp, which the trust root %q demands: its certificate ended %s, and nothing says that it was used before", r.Name, when(c.NotAfter))
	}
	return nil
}

// outside says whether the certificate was used when it was not valid.
func outside(c *x509.Certificate, used []time.Time) error {
	for _, t := range used {
		if t.Before(c.NotBefore) || t.After(c.NotAfter) {
			return fmt.Errorf("its certificate was valid from %s to %s only, and used %s", when(c.NotBefore), when(c.NotAfter), when(t))
		}
	}
	return nil
}

func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// otherEntry are the libraries' words, for which they have no type, where a
// log's entry is true and of another signature, key or payload.
var otherEntry = []string{
	"signature in bundle does not match",
	"comparing public key PEMs",
	"matching bundle to payload",
	"transparency log signature does not match",
	"transparency log certificate does not match",
}

// explain says in our words what the libraries say in several.
func explain(err error) error {
	said := err.Error()
	switch {
	case slices.ContainsFunc(otherEntry, func(s string) bool { return strings.Contains(said, s) }):
		return fmt.Errorf("its entry in the transparency log is of something else (%s)", clip(said, 120))
	case strings.Contains(said, "leaf certificate verification failed"):
		return fmt.Errorf("its certificate is by no authority of the trust root (%s)", clip(said, 120))
	}
	return err
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
