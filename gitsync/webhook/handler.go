// Package webhook takes GitHub's webhooks and turns them into events. It
// believes the signature and nothing else: an event is a hint that something
// may have moved, so a delivery may be lost, doubled, late or out of order.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/gitsync"
)

// Options say what is listened for. Repository, Branch, Secret and Notify are
// needed.
type Options struct {
	Repository string // "acme/shop"; other repositories are ignored
	Branch     string // "main"; pushes and pull requests to others are ignored
	// Secret is what GitHub signs with. It is asked with each delivery, so it
	// may change; an empty one is never accepted.
	Secret func() (string, error)
	// Notify takes an event. It must not block: GitHub waits for the answer.
	Notify func(gitsync.Event)
	// App is the id of the GitHub App that the agent is, whose own checks are no
	// news; 0 if it is none.
	App int64
	// MaxBytes bounds a delivery, before it is authenticated; 5 MiB if zero.
	// GitHub itself sends nothing over 25 MB.
	MaxBytes int64
	// MaxTime bounds how long a delivery may take to arrive; 10 s if zero.
	MaxTime time.Duration
	// Answered, if not nil, is told of each answer, for logs and metrics.
	Answered func(Answer)
	// Now is the clock that dates events; time.Now if nil.
	Now func() time.Time
}

// Answer is what a delivery was answered. ID and Event are the sender's words,
// known to be genuine only where Status is below 400.
type Answer struct {
	ID     string
	Event  string
	Status int
	Text   string
}

// atOnce bounds how many deliveries are held in memory at the same time.
const atOnce = 16

// Handler serves POST /webhooks/github.
type Handler struct {
	options Options
	slots   chan struct{}
}

// New refuses to listen without a secret: everybody could then wake the agent.
func New(o Options) (*Handler, error) {
	if o.Repository == "" || o.Branch == "" || o.Secret == nil || o.Notify == nil {
		return nil, errors.New("listen for webhooks: repository, branch, secret and notify are needed")
	}
	secret, err := o.Secret()
	if err != nil {
		return nil, fmt.Errorf("listen for webhooks: %w", err)
	}
	if strings.TrimSpace(secret) == "" {
		return nil, errors.New("listen for webhooks: the secret is empty, so anybody could send them; write one to the file that github.webhook.secret names, and the same one on GitHub")
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 5 << 20
	}
	if o.MaxTime == 0 {
		o.MaxTime = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Handler{options: o, slots: make(chan struct{}, atOnce)}, nil
}

// refusal is an answer that ends a delivery without work.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// For all that is ever read of this request. Where the connection knows no
	// deadlines, those of the server hold; it sets its own for the next request.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.options.MaxTime))
	kind := r.Header.Get("X-GitHub-Event")
	answer := Answer{ID: short(r.Header.Get("X-GitHub-Delivery")), Event: short(kind), Status: http.StatusAccepted}
	event, text, err := h.take(w, r, kind)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		answer.Status, answer.Text = refused.status, refused.text
	case err != nil:
		answer.Status, answer.Text = http.StatusBadRequest, err.Error()
	case event == nil:
		answer.Text = "ignored: " + text
	default:
		answer.Text = "accepted: " + text
		event.Origin, event.At = gitsync.FromWebhook, h.options.Now()
		h.options.Notify(*event)
	}
	if h.options.Answered != nil {
		h.options.Answered(answer)
	}
	if answer.Status >= 400 {
		// Or the server would first read what is left of the body.
		w.Header().Set("Connection", "close")
	}
	switch answer.Status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, answer.Text, answer.Status)
}

// take authenticates a delivery and reads it. Nothing of the body is looked at
// before its signature is known to be right.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, kind string) (*gitsync.Event, string, error) {
	if r.Method != http.MethodPost {
		return nil, "", refuse(http.StatusMethodNotAllowed, "webhooks are sent by POST")
	}
	signature, err := parseSignature(r.Header.Values("X-Hub-Signature-256"))
	if err != nil {
		return nil, "", err // before a byte of the body is read
	}
	body, err := h.read(w, r)
	if err != nil {
		return nil, "", err
	}
	secret, err := h.options.Secret()
	if err != nil || strings.TrimSpace(secret) == "" {
		// The cause is for the log of who configures it, not for the sender.
		return nil, "", refuse(http.StatusInternalServerError, "the webhook's secret cannot be read")
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), signature) {
		return nil, "", refuse(http.StatusUnauthorized, "the signature is not of this body by our secret")
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, "", refuse(http.StatusUnsupportedMediaType, "set the webhook's content type to application/json")
	}
	return h.options.interpret(kind, body)
}

// read takes in the body within the limits of size and time.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := refuse(http.StatusRequestEntityTooLarge, "larger than %d bytes", h.options.MaxBytes)
	if r.ContentLength > h.options.MaxBytes {
		return nil, tooLarge
	}
	patience := time.NewTimer(h.options.MaxTime / 5)
	defer patience.Stop()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-patience.C:
		return nil, refuse(http.StatusServiceUnavailable, "too many deliveries at once; the branch is polled as well")
	case <-r.Context().Done():
		return nil, refuse(http.StatusRequestTimeout, "given up by the sender")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.options.MaxBytes))
	var timeout net.Error
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, tooLarge
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, refuse(http.StatusRequestTimeout, "the body did not arrive within %s", h.options.MaxTime)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body did not arrive")
	}
	return body, nil
}

// parseSignature reads "sha256=…". SHA-1, which GitHub still sends in another
// header, is not accepted.
func parseSignature(headers []string) ([]byte, error) {
	if len(headers) != 1 {
		return nil, refuse(http.StatusUnauthorized, "one X-Hub-Signature-256 is needed; set a secret for the webhook on GitHub")
	}
	digits, ok := strings.CutPrefix(headers[0], "sha256=")
	signature, err := hex.DecodeString(digits)
	if !ok || err != nil || len(signature) != sha256.Size {
		return nil, refuse(http.StatusUnauthorized, "X-Hub-Signature-256 is no SHA-256 signature")
	}
	return signature, nil
}

// short makes a header of strangers fit for a log.
func short(s string) string {
	const most = 64
	s = strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}
