package github

import (
	"slices"
	"time"
)

// WebhookMatch says which webhooks a fault strikes; an empty field matches all.
type WebhookMatch struct {
	Event, Action, URL string
}

// WebhookFault is what goes wrong with a webhook.
type WebhookFault struct {
	Drop    bool // GitHub logs it as failed, and does not try again
	Double  bool // sent twice, with one GUID
	Reorder bool // held until the hook's next webhook of the same event has gone, or heal
	Delay   time.Duration
	Times   int // how often it strikes; 0 means until healed
}

type webhookFault struct {
	WebhookMatch
	WebhookFault
	left int
}

// FailWebhooks makes matching webhooks go wrong until heal is called, which
// also lets go of those that are held.
func (s *Server) FailWebhooks(m WebhookMatch, f WebhookFault) (heal func()) {
	added := &webhookFault{m, f, f.Times}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhookFaults = append(s.webhookFaults, added)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.webhookFaults = slices.DeleteFunc(s.webhookFaults, func(one *webhookFault) bool { return one == added })
		for _, h := range s.hooks {
			h.pending, h.held = append(h.pending, h.held...), nil
			s.drainLocked(h)
		}
	}
}

func (s *Server) strikeWebhookLocked(h *hook, d *delivery) *webhookFault {
	for _, f := range s.webhookFaults {
		if (f.Event != "" && f.Event != d.event) || (f.Action != "" && f.Action != d.action) || (f.URL != "" && f.URL != h.url) {
			continue
		}
		if f.Times > 0 {
			if f.left == 0 {
				continue
			}
			f.left--
		}
		return f
	}
	return nil
}
