package policies

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Identity is a signer without a key of its own: whoever proves to an issuer
// to be the subject gets a certificate for a few minutes (keyless signing).
type Identity struct {
	// Name is what reports call the identity; the subject if empty.
	Name string
	// Issuer is the exact OpenID Connect issuer; or IssuerPattern a regular
	// expression (RE2) that the whole issuer must match. Exactly one is set, and
	// likewise of Subject and SubjectPattern.
	Issuer, IssuerPattern   string
	Subject, SubjectPattern string
	// Root is whose certificates, logs and timestamps count.
	Root Root

	id              string
	issuer, subject *regexp.Regexp // of the patterns
}

// ID identifies the identity and its root by content, "sha256:…"; empty unless
// NewTrust made it.
func (i Identity) ID() string { return i.id }

// Matches reports whether a certificate's issuer and subject are meant. An
// identity that NewTrust did not make matches nobody.
func (i Identity) Matches(issuer, subject string) bool {
	return i.id != "" && issuer != "" && subject != "" &&
		means(i.Issuer, i.issuer, issuer) && means(i.Subject, i.subject, subject)
}

func means(exact string, pattern *regexp.Regexp, s string) bool {
	if pattern != nil {
		return pattern.MatchString(s)
	}
	return exact != "" && exact == s
}

// Root is a Sigstore trust root.
type Root struct {
	// Name is what configuration and reports call it.
	Name string
	// JSON is the trusted_root.json.
	JSON []byte
	// What a signature must bring beside its certificate: an entry in the
	// transparency log, a timestamp by the root's authority, and proof that the
	// certificate was logged. One of the first two is always demanded: nothing
	// else says that the certificate was valid when it was used.
	TransparencyLog, Timestamp, CertificateLog bool
}

// parseIdentity reports every problem with the path of its field.
func parseIdentity(at string, i Identity) (Identity, error) {
	var problems []error
	report := func(field, format string, values ...any) {
		problems = append(problems, fmt.Errorf("%s%s: %s", at, field, fmt.Sprintf(format, values...)))
	}
	var err error
	switch {
	case i.Issuer != "" && i.IssuerPattern != "":
		report("", "has both issuer and issuerPattern; choose one")
	case i.IssuerPattern != "":
		if i.issuer, err = wholePattern(i.IssuerPattern, unlikelyIssuers); err != nil {
			report(".issuerPattern", "%v", err)
		}
	case i.Issuer != "":
		if err := plainIssuer(i.Issuer); err != nil {
			report(".issuer", "%v", err)
		}
	default:
		report("", "has neither issuer nor issuerPattern; without one anybody who runs an issuer could sign as anybody")
	}
	switch {
	case i.Subject != "" && i.SubjectPattern != "":
		report("", "has both subject and subjectPattern; choose one")
	case i.SubjectPattern != "":
		if i.subject, err = wholePattern(i.SubjectPattern, unlikelySubjects); err != nil {
			report(".subjectPattern", "%v", err)
		}
	case i.Subject == "":
		report("", "has neither subject nor subjectPattern; without one everybody with an account at the issuer could sign")
	case strings.TrimSpace(i.Subject) != i.Subject:
		report(".subject", "begins or ends with white space, which no certificate does")
	}
	if err := i.Root.check(); err != nil {
		report(".root", "%v", err)
	}
	if len(problems) > 0 {
		return Identity{}, errors.Join(problems...)
	}
	i.Root.JSON = bytes.Clone(i.Root.JSON)
	// Names are left out: they may change, and mean the same.
	i.id = contentID("identity", i.Issuer, i.IssuerPattern, i.Subject, i.SubjectPattern,
		i.Root.JSON, i.Root.TransparencyLog, i.Root.Timestamp, i.Root.CertificateLog)
	if i.Name == "" {
		i.Name = i.Subject + i.SubjectPattern
	}
	return i, nil
}

// check reads no more of the root than shows that it is one; the collector
// reads the rest.
func (r Root) check() error {
	var content struct {
		MediaType string `json:"mediaType"`
	}
	switch err := json.Unmarshal(r.JSON, &content); {
	case len(r.JSON) == 0:
		return errors.New("is missing; a keyless signer needs the trusted_root.json of the Sigstore instance that vouches for it")
	case err != nil || !strings.HasPrefix(content.MediaType, "application/vnd.dev.sigstore.trustedroot"):
		return fmt.Errorf("%q is no Sigstore trust root; give it a trusted_root.json", r.Name)
	case !r.TransparencyLog && !r.Timestamp:
		return fmt.Errorf("%q demands neither an entry in the transparency log nor a timestamp, so that a certificate would count for ever after it expired; demand one of them", r.Name)
	}
	return nil
}

// plainIssuer accepts an https URL as it stands in a token, which is compared
// byte by byte: what could never be equal to one is a slip.
func plainIssuer(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Host != strings.ToLower(u.Host) || u.User != nil ||
		u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.ContainsAny(s, "# \t\r\n") || u.String() != s {
		return fmt.Errorf("%q is no issuer; write its https URL as it stands in its tokens, as in \"https://token.actions.githubusercontent.com\"", Clip(s, 200))
	}
	return nil
}

// Whom no rule can mean, because .invalid belongs to nobody (RFC 2606): a
// pattern that matches one of them tells nobody apart.
var (
	unlikelyIssuers  = []string{"https://q.invalid", "https://token.pawl-q7.invalid/a/b"}
	unlikelySubjects = []string{"https://pawl-q7.invalid/a/b/.github/workflows/c.yml@refs/heads/d", "https://q.invalid/a", "a@pawl-q7.invalid", "spiffe://pawl-q7.invalid/a/b", "q"}
)

const maxPattern = 1024

// wholePattern compiles a regular expression that must match the whole of a
// string: unanchored, "https://github.com/acme/" would also be found in
// "https://evil.example/?https://github.com/acme/".
func wholePattern(s string, unlikely []string) (*regexp.Regexp, error) {
	if len(s) > maxPattern {
		return nil, fmt.Errorf("is %d bytes long; at most %d are accepted", len(s), maxPattern)
	}
	// By itself first: in parentheses, "a)|(b" would be well-formed.
	if _, err := regexp.Compile(s); err != nil {
		return nil, fmt.Errorf("%q is no regular expression (RE2): %w", Clip(s, 200), err)
	}
	whole, err := regexp.Compile(`\A(?:` + s + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression (RE2) that can match a whole string: %w", Clip(s, 200), err)
	}
	if whole.MatchString("") {
		return nil, fmt.Errorf("%q matches nothing at all too; write what must be there", Clip(s, 200))
	}
	for _, u := range unlikely {
		if whole.MatchString(u) {
			return nil, fmt.Errorf("%q matches whatever there is, even %q; name the host, and as much of the rest as is known", Clip(s, 200), u)
		}
	}
	return whole, nil
}
