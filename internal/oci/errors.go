package oci

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

var (
	// ErrNotFound is in errors about what the registry says it does not have.
	ErrNotFound = errors.New("not found")
	// ErrInvalid is in errors about answers that are wrong, such as bytes that
	// do not have their digest. Asking again will hardly help.
	ErrInvalid = errors.New("invalid answer")
)

// Error is a request that failed. Unless it is ErrNotFound or ErrInvalid, the
// registry was unavailable: nothing is known, and trying again may help.
type Error struct {
	Doing    string // "fetch the manifest of ghcr.io/acme/web:main"
	Registry string
	// Status is the answer's, 0 if there was none.
	Status int
	// Reason goes on after the registry's name, and holds no credentials.
	Reason string
	kind   error // ErrNotFound, ErrInvalid, a context's error or nil
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: registry %s %s", e.Doing, e.Registry, e.Reason)
}

// Unwrap never leads to the original error, whose text is not redacted.
func (e *Error) Unwrap() error { return e.kind }

func invalid(at name.Repository, doing, reason string) *Error {
	return &Error{Doing: doing, Registry: at.RegistryStr(), Reason: reason, kind: ErrInvalid}
}

func (r *registry) explain(ctx context.Context, doing string, used []Credentials, err error) error {
	if ours := (*Error)(nil); errors.As(err, &ours) {
		return ours
	}
	if errors.Is(err, errNothing) {
		return err
	}
	e := &Error{Doing: doing, Registry: r.host}
	var foreign errForeign
	var answer *transport.Error
	var asked *url.Error
	var network net.Error
	var unknown *net.DNSError
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.Reason, e.kind = "did not answer in time", context.DeadlineExceeded
	case ctx.Err() != nil:
		e.Reason, e.kind = "was no longer asked", context.Canceled
	case errors.As(err, &foreign):
		e.Reason = "cannot be signed in to: " + foreign.Error()
	case errors.Is(err, errTooLarge):
		e.Reason = "sends without end: " + errTooLarge.Error()
	case errors.As(err, &answer):
		e.Status = answer.StatusCode
		e.Reason = answered(answer)
		switch e.Status {
		case http.StatusNotFound:
			e.kind = ErrNotFound
		case http.StatusUnauthorized, http.StatusForbidden:
			e.Reason += "; check the credentials for it in the agent's configuration, and that the repository exists"
		}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		e.Reason = "broke off its answer"
	case errors.As(err, &unknown):
		e.Reason = "has a name that cannot be resolved"
	case errors.As(err, &asked):
		e.Reason = "cannot be asked: " + asked.Err.Error()
		if errors.Is(err, errPlainHTTP) && !errors.Is(asked, errPlainHTTP) {
			e.Reason += "; " + errPlainHTTP.Error()
		}
	case errors.As(err, &network):
		e.Reason = "cannot be asked: " + err.Error()
	case strings.Contains(err.Error(), "does not match requested digest"):
		// The library has no type for it.
		e.Reason, e.kind = "serves other bytes under this digest", ErrInvalid
	case strings.Contains(err.Error(), "error verifying"):
		e.Reason, e.kind = "serves a blob that is not what its digest says", ErrInvalid
	default:
		e.Reason = "failed: " + err.Error()
	}
	e.Reason = redact(e.Reason, used)
	return e
}

// answered is the status and what the registry says about it.
func answered(e *transport.Error) string {
	s := fmt.Sprintf("answered %d %s", e.StatusCode, cmp.Or(http.StatusText(e.StatusCode), "(unknown status)"))
	for _, d := range e.Errors {
		if d.Message != "" {
			return s + ": " + d.Message
		}
	}
	return s
}

const maxReason = 300

var authorization = regexp.MustCompile(`(?i)\b(basic|bearer)\s+[A-Za-z0-9._~+/=-]{6,}`)

// redact takes the credentials out of a text that a registry may have written,
// and bounds it.
func redact(s string, used []Credentials) string {
	for _, c := range used {
		if c.Password == "" {
			continue
		}
		for _, secret := range []string{
			c.Password,
			url.QueryEscape(c.Password),
			base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password)),
		} {
			s = strings.ReplaceAll(s, secret, "[redacted]")
		}
	}
	s = authorization.ReplaceAllString(s, "$1 [redacted]")
	s = strings.Join(strings.Fields(s), " ") // one line
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
