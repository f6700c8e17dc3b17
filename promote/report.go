package promote

import (
	"time"

	"github.com/pawl-dev/pawl/gitsync"
)

// Report is the state of one environment at one commit, as GitHub shows it: a
// check run, or a commit status where the token cannot write checks.
type Report struct {
	Commit      gitsync.Commit
	Environment string
	State       ReportState
	Title       string // one line: "web did not become ready"
	Summary     string // markdown
	StartedAt   time.Time
	CompletedAt time.Time // zero until State is final
}

// Name is the check's name: "pawl / production".
func (r Report) Name() string { return "pawl / " + r.Environment }

type ReportState string

const (
	Queued     ReportState = "queued"
	InProgress ReportState = "in_progress"
	Success    ReportState = "success"
	Failure    ReportState = "failure"
	Superseded ReportState = "superseded" // a newer commit took over before this one ended
)

// Final reports whether nothing more is to come for the commit.
func (s ReportState) Final() bool { return s == Success || s == Failure || s == Superseded }
