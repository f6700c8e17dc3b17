package cluster

import (
	"sync"

	"github.com/rs/zerolog"
	"k8s.io/client-go/rest"
)

// warnings logs what API servers warn of beside their answers, such as a version
// that is deprecated: each text once, as it comes with every request.
type warnings struct {
	log zerolog.Logger

	mu   sync.Mutex
	said map[string]bool
}

var _ rest.WarningHandler = (*warnings)(nil)

// maxWarnings bounds the texts that are remembered; they may hold names.
const maxWarnings = 1000

// HandleWarningHeader is for client-go.
func (w *warnings) HandleWarningHeader(code int, _ string, text string) {
	if code != 299 || text == "" { // 299 is all that Kubernetes sends
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said[text] {
		return
	}
	if len(w.said) >= maxWarnings {
		clear(w.said)
	}
	w.said[text] = true
	w.log.Warn().Str("warning", text).Msg("the API server warns")
}
