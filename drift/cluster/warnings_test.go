package cluster

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestAWarningOfTheAPIServerIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := &warnings{log: zerolog.New(&log), said: map[string]bool{}}
	for range 3 {
		w.HandleWarningHeader(299, "-", "policy/v1beta1 PodDisruptionBudget is deprecated")
		w.HandleWarningHeader(299, "-", "spec.template: unknown annotation")
		w.HandleWarningHeader(199, "-", "of a proxy")
	}
	if got := strings.Count(log.String(), "\n"); got != 2 || !strings.Contains(log.String(), "is deprecated") {
		t.Errorf("got %d lines: %s", got, &log)
	}
	for i := range 3 * maxWarnings {
		w.HandleWarningHeader(299, "-", fmt.Sprint(i))
	}
	if len(w.said) > maxWarnings {
		t.Errorf("%d texts are remembered", len(w.said))
	}
}
