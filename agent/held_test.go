package agent

import (
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/drift"
)

// catalogue 120
func TestAHeldTargetStaysWhereItWasReturnedTo(t *testing.T) {
	files := shop()
	files["base/web.yaml"] = labelled("bad")
	inWorldWith(t, files, func(w *world) {
		older, newer := shop(), shop()
		newer["base/web.yaml"] = labelled("newer")
		w.remembers("o", older)
		w.remembers("n", newer)
		w.held["dev/web"] = &drift.Hold{Release: w.releaseOf(files).Digest, Commit: "1", Why: "by hand", To: "o"}
	}, func(w *world) {
		w.expect("what was applied last", w.lastApplied("dev/web"), "o")
	})
}

// catalogue 120
func TestAHeldReleaseIsTriedOnceMoreWhenItsHealthIsJudgedOtherwise(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
		w.push(bad())
		w.push(map[string]string{"README.md": "x"})
		w.expect("tries while nothing changed", w.count("dev/web 2")+w.count("dev/web 3"), 1)
		w.push(map[string]string{"pawl.yaml": strings.Replace(shop()["pawl.yaml"], "{name: dev", "{name: dev, healthTimeout: 60s", 1)})
		w.expect("tries with another patience", w.count("dev/web 4"), 1)
		w.push(map[string]string{"README.md": "y"})
		w.expect("tries after it", w.count("dev/web 5"), 0)
	})
}
