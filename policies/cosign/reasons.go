package cosign

import (
	"crypto/x509"
	"errors"
	"fmt"
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

const (
	otherEntry     = "its entry in the transparency log is of something else"
	strangeEntry   = "its entry in the transparency log is by no log of the trust root"
	otherTimestamp = "its timestamp is of something else, or by no authority of the trust root"
	notLogged      = "its certificate does not prove that it was logged, by a log of the trust root"
	timelessEntry  = "its entry in the transparency log, of a log of version 2, does not say when it was made; the trust root has to demand a timestamp as well"
	strangeIssuer  = "its certificate is by no authority of the trust root, or was not valid when it was used"
)

// plainly says in our words what the libraries say, for which they have no
// types and which may quote a whole certificate. The tests of forgeries hold it.
var plainly = []struct{ said, is string }{
	{"signature in bundle does not match", otherEntry},
	{"comparing public key PEMs", otherEntry},
	{"matching bundle to payload", otherEntry},
	{"transparency log signature does not match", otherEntry},
	{"transparency log certificate does not match", otherEntry},
	{"rekor log public key not found", strangeEntry},
	{"not enough verified log entries", strangeEntry},
	{"verified signed timestamps", otherTimestamp},
	{"verified log entry integrated timestamps", timelessEntry},
	{"SCT", notLogged},
	{"leaf certificate verification failed", strangeIssuer},
}

func explain(err error) error {
	for _, p := range plainly {
		if strings.Contains(err.Error(), p.said) {
			return errors.New(p.is)
		}
	}
	return err
}
