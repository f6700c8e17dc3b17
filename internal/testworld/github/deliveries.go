package github

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/github/contract"
)

// delivery is one attempt to send a webhook. Guarded by the server's lock once
// it is in its hook's log.
type delivery struct {
	id                  int64
	guid, event, action string
	redelivery          bool
	payload             []byte
	repo, installation  int64
	at                  time.Time
	duration            time.Duration
	code                int
	status              string
	sent, answered      http.Header
	answer              string
	drop                bool
}

const (
	webhookTimeout = 10 * time.Second // docs.github.com/webhooks/using-webhooks/best-practices-for-using-webhooks
	payloadCap     = 25 << 20         // a larger payload is not delivered at all
)

// emit sends an event to every hook that wants it. An only names the one App
// that hears of it.
func (s *Server) emit(r *repository, event string, payload object, only *app) {
	s.mu.Lock()
	var wanting []*hook
	for _, h := range s.hooks {
		switch {
		case !h.active:
		case h.app != nil && h.app.sees(r) && (only == nil && h.wants(event) || only == h.app):
			wanting = append(wanting, h)
		case h.repo == r && r != nil && only == nil && h.wants(event):
			wanting = append(wanting, h)
		}
	}
	s.mu.Unlock()
	for _, h := range wanting {
		s.send(h, event, payload)
	}
}

// send puts a payload on its way: encoded at once, since what it shows moves on.
func (s *Server) send(h *hook, event string, payload object) {
	d := &delivery{guid: s.guid(), event: event}
	d.action, _ = payload["action"].(string)
	if repo, ok := payload["repository"].(object); ok {
		d.repo, _ = repo["id"].(int64)
	}
	if h.app != nil {
		d.installation = h.app.installation
		with := object{"installation": object{"id": h.app.installation, "node_id": nodeID("MDIz", h.app.installation)}}
		for k, v := range payload {
			with[k] = v
		}
		payload = with
	}
	body, err := encode(payload)
	if err != nil {
		s.violate(standInFailed("write the webhook "+event, err))
		return
	}
	if d.payload = body; len(body) > payloadCap {
		return
	}
	s.dispatch(h, d)
}

// dispatch queues a delivery, as the faults have it.
func (s *Server) dispatch(h *hook, d *delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	times, f := 1, s.strikeWebhookLocked(h, d)
	if f != nil {
		switch {
		case f.Drop:
			d.drop = true
		case f.Double:
			times = 2
		case f.Reorder:
			h.held = append(h.held, d)
			s.waitingLocked(1)
			return
		}
	}
	// What was held goes after the next of its kind.
	var late []*delivery
	h.held = slices.DeleteFunc(h.held, func(held *delivery) bool {
		if held.event == d.event {
			late = append(late, held)
		}
		return held.event == d.event
	})
	for range times {
		copied := *d
		s.waitingLocked(1)
		if f != nil && f.Delay > 0 {
			s.later(f.Delay, h, &copied)
			continue
		}
		h.pending = append(h.pending, &copied)
	}
	h.pending = append(h.pending, late...)
	s.drainLocked(h)
}

func (s *Server) later(delay time.Duration, h *hook, d *delivery) {
	s.sending.Add(1)
	go func() {
		defer s.sending.Done()
		select {
		case <-time.After(delay):
		case <-s.ctx.Done():
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		h.pending = append(h.pending, d)
		s.drainLocked(h)
	}()
}

// drainLocked sends one after the other, in their order.
func (s *Server) drainLocked(h *hook) {
	if h.sending || len(h.pending) == 0 {
		return
	}
	h.sending = true
	s.sending.Add(1)
	go func() {
		defer s.sending.Done()
		for {
			s.mu.Lock()
			if len(h.pending) == 0 {
				h.sending = false
				s.mu.Unlock()
				return
			}
			d := h.pending[0]
			h.pending = h.pending[1:]
			target, secret, form := h.url, h.secret, h.form
			d.id = s.idLocked()
			s.mu.Unlock()
			s.post(h, d, target, secret, form)
			s.mu.Lock()
			h.deliveries = append(h.deliveries, d)
			s.waitingLocked(-1)
			s.mu.Unlock()
		}
	}()
}

func (s *Server) waitingLocked(n int) {
	if s.waiting == 0 && n > 0 {
		s.quiet = make(chan struct{})
	}
	if s.waiting += n; s.waiting == 0 {
		close(s.quiet)
	}
}

// Quiet waits until no webhook is on its way. Those held by a fault that
// reorders are on their way.
func (s *Server) Quiet(ctx context.Context) error {
	s.mu.Lock()
	quiet := s.quiet
	s.mu.Unlock()
	select {
	case <-quiet:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for webhooks on their way: %w", ctx.Err())
	}
}

// Sign is the value of X-Hub-Signature-256.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func (s *Server) post(h *hook, d *delivery, target, secret string, form bool) {
	body, contentType := d.payload, "application/json"
	if form {
		body, contentType = []byte(url.Values{"payload": {string(body)}}.Encode()), "application/x-www-form-urlencoded"
	}
	d.at = s.now()
	d.sent = http.Header{}
	targetID, targetType := int64(0), "repository"
	if h.app != nil {
		targetID, targetType = h.app.id, "integration"
	} else {
		targetID = h.repo.id
	}
	for k, v := range map[string]string{
		"User-Agent": "GitHub-Hookshot/pawl", "Content-Type": contentType, "Accept": "*/*", "X-GitHub-Delivery": d.guid, "X-GitHub-Event": d.event,
		"X-GitHub-Hook-ID": strconv.FormatInt(h.id, 10), "X-GitHub-Hook-Installation-Target-ID": strconv.FormatInt(targetID, 10),
		"X-GitHub-Hook-Installation-Target-Type": targetType,
	} {
		d.sent.Set(k, v)
	}
	checked := d.sent.Clone()
	checked.Set("X-Hub-Signature-256", Sign(secret, body)) // GitHub's description has no unsigned ones
	if secret != "" {
		d.sent.Set("X-Hub-Signature-256", Sign(secret, body))
	}
	if err := s.contract.CheckWebhook(d.event, checked, body); err != nil {
		s.violate(contract.Violation{Direction: contract.Webhook, Method: d.event, Path: d.action, What: err.Error()})
	}
	if d.drop {
		d.status = "failed to connect to host"
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, webhookTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		d.status = "invalid HTTP response"
		return
	}
	request.Header = d.sent.Clone()
	began := time.Now()
	response, err := webhookClient.Do(request)
	d.duration = time.Since(began)
	if err != nil {
		d.status = "failed to connect to host"
		if errors.Is(err, context.DeadlineExceeded) {
			d.status = "timed out"
		}
		return
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	d.code, d.answer, d.answered = response.StatusCode, string(answer), response.Header
	d.status = "OK"
	if d.code < 200 || d.code > 299 {
		d.status = "Invalid HTTP Response: " + strconv.Itoa(d.code)
	}
}

// webhookClient does not follow redirects, as GitHub does not.
var webhookClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func standInFailed(doing string, err error) contract.Violation {
	return contract.Violation{Direction: contract.Webhook, Method: "stand-in", Path: doing, What: err.Error()}
}

var deliveryRoutes = []route{
	{"GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries", "repository_hooks:read", listDeliveries},
	{"GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}", "repository_hooks:read", getDelivery},
	{"POST /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts", "repository_hooks:write", redeliver},
	{"GET /app/hook/deliveries", "app", listDeliveries},
	{"GET /app/hook/deliveries/{delivery_id}", "app", getDelivery},
	{"POST /app/hook/deliveries/{delivery_id}/attempts", "app", redeliver},
}

func (c *call) deliveringHook() (*hook, error) {
	if c.path("hook_id") == "" {
		return c.who.app.hook, nil
	}
	return c.hook()
}

func (d *delivery) json() object {
	o := object{
		"id": d.id, "guid": d.guid, "delivered_at": stamp(d.at), "redelivery": d.redelivery, "duration": d.duration.Seconds(),
		"status": d.status, "status_code": d.code, "event": d.event, "action": orNull(d.action), "installation_id": nil, "repository_id": nil,
	}
	if d.installation != 0 {
		o["installation_id"] = d.installation
	}
	if d.repo != 0 {
		o["repository_id"] = d.repo
	}
	return o
}

func listDeliveries(c *call) (int, any, error) {
	h, err := c.deliveringHook()
	if err != nil {
		return 0, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// By cursor, not by page: the id of the first delivery of the next page.
	cursor, _ := strconv.ParseInt(c.query("cursor"), 10, 64)
	per, _ := strconv.Atoi(c.query("per_page"))
	if per <= 0 || per > 100 {
		per = 30
	}
	out := []object{}
	for _, d := range slices.Backward(h.deliveries) {
		if cursor != 0 && d.id > cursor {
			continue
		}
		if len(out) == per {
			u := *c.request.URL
			q := u.Query()
			q.Set("cursor", strconv.FormatInt(d.id, 10))
			u.RawQuery = q.Encode()
			c.header.Set("Link", "<"+c.url+u.RequestURI()+`>; rel="next"`)
			break
		}
		out = append(out, d.json())
	}
	return http.StatusOK, out, nil
}

func (c *call) delivery() (*hook, *delivery, error) {
	h, err := c.deliveringHook()
	if err != nil {
		return nil, nil, err
	}
	id, err := c.number("delivery_id")
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range h.deliveries {
		if d.id == id {
			return h, d, nil
		}
	}
	return nil, nil, notFound()
}

func getDelivery(c *call) (int, any, error) {
	_, d, err := c.delivery()
	if err != nil {
		return 0, nil, err
	}
	o := d.json()
	o["url"] = ""
	headers := func(h http.Header) object {
		out := object{}
		for k := range h {
			out[k] = h.Get(k)
		}
		return out
	}
	o["request"] = object{"headers": headers(d.sent), "payload": json.RawMessage(d.payload)}
	o["response"] = object{"headers": headers(d.answered), "payload": d.answer}
	return http.StatusOK, o, nil
}

// redeliver sends the same payload again, under the same GUID.
func redeliver(c *call) (int, any, error) {
	h, d, err := c.delivery()
	if err != nil {
		return 0, nil, err
	}
	if c.now().Sub(d.at) > 72*time.Hour {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "The delivery is older than three days and cannot be redelivered.")
	}
	c.dispatch(h, &delivery{
		guid: d.guid, event: d.event, action: d.action, redelivery: true, payload: d.payload, repo: d.repo, installation: d.installation,
	})
	return http.StatusAccepted, object{}, nil
}
