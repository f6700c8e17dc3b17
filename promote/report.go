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
	// Annotations stand on lines of files. GitHub keeps what it was given, so
	// that only what is final has any. A commit status has none.
	Annotations []Annotation
	StartedAt   time.Time
	CompletedAt time.Time // zero until State is final
}

// Name is the check's name: "pawl / production".
func (r Report) Name() string { return "pawl / " + r.Environment }

// Annotation is a remark on a line of a file of the commit, in plain text.
type Annotation struct {
	File           string // relative to the root of the tree
	Line           int    // 1 is the first
	Level          AnnotationLevel
	Title, Message string
}

// AnnotationLevel is how much an annotation matters, in GitHub's words.
type AnnotationLevel string

const (
	AnnotationFailure AnnotationLevel = "failure"
	AnnotationWarning AnnotationLevel = "warning"
)

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
