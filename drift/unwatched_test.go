package drift_test

import (
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
)

func TestHealthOfWhatIsNotSeen(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 3, 2, 12, 3, 4, 0, time.UTC)
	maps := drift.Unwatched{Resource: "configmaps", Objects: 3, Since: since, Why: "forbidden"}
	gadgets := drift.Unwatched{Resource: "gadgets.acme.example", Objects: 1, Since: since, Why: "not served"}
	for name, c := range map[string]struct {
		seen  drift.HealthStatus
		kinds []drift.Unwatched
		want  drift.HealthStatus
		text  string
	}{
		"everything is watched": {drift.Current, nil, drift.Current, ""},
		"what was good is not known to be any more": {drift.Current, []drift.Unwatched{maps}, drift.StatusUnwatched,
			"configmaps cannot be watched since 2026-03-02T12:03:04Z: forbidden; drift of 3 objects is not seen"},
		"nor is it known how what was on its way goes": {drift.Progressing, []drift.Unwatched{gadgets}, drift.StatusUnwatched,
			"gadgets.acme.example cannot be watched since 2026-03-02T12:03:04Z: not served; drift of 1 object is not seen"},
		"what was seen to fail has failed": {drift.Failed, []drift.Unwatched{maps, gadgets}, drift.Failed,
			"configmaps cannot be watched since 2026-03-02T12:03:04Z: forbidden; drift of 3 objects is not seen\n" +
				"gadgets.acme.example cannot be watched since 2026-03-02T12:03:04Z: not served; drift of 1 object is not seen"},
	} {
		h := drift.Combine([]drift.ObjectHealth{{Status: c.seen}}).Unseen(c.kinds)
		if h.Status != c.want || h.UnwatchedText() != c.text {
			t.Errorf("%s: got %s, %q", name, h.Status, h.UnwatchedText())
		}
	}
}
