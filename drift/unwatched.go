package drift

import (
	"fmt"
	"strings"
	"time"
)

// Unwatched is a kind of a target that cannot be watched: drift of its objects is
// not seen, nor what becomes of their health.
type Unwatched struct {
	Resource string // as people type it: "configmaps", "gadgets.acme.example"
	Objects  int    // of the target
	Since    time.Time
	Why      string
}

// Unseen is the health of a target some of whose kinds cannot be watched. What
// was seen to fail has failed; whatever else is not known any more.
func (h Health) Unseen(kinds []Unwatched) Health {
	h.Unwatched = kinds
	if len(kinds) > 0 && h.Status != Failed {
		h.Status = StatusUnwatched
	}
	return h
}

// UnwatchedText is what people read of the kinds that cannot be watched, empty
// if there are none.
func (h Health) UnwatchedText() string {
	var said []string
	for _, u := range h.Unwatched {
		objects := fmt.Sprintf("%d objects", u.Objects)
		if u.Objects == 1 {
			objects = "1 object"
		}
		said = append(said, fmt.Sprintf("%s cannot be watched since %s: %s; drift of %s is not seen", u.Resource, u.Since.UTC().Format(time.RFC3339), u.Why, objects))
	}
	return strings.Join(said, "\n")
}
