package promote

import (
	"fmt"
	"strings"

	"github.com/pawl-dev/pawl/gitsync"
)

// Account is somebody on the forge.
type Account struct {
	ID    int64
	Login string // of a stranger
	Bot   bool
}

// Review is one thing that somebody said of a pull request.
type Review struct {
	By      Account
	Opinion Opinion
	Commit  gitsync.Commit // what was looked at
}

// Opinion is what a review says. What is neither of these says nothing.
type Opinion string

const (
	Approved         Opinion = "approved"
	ChangesRequested Opinion = "asked for changes"
	Dismissed        Opinion = "dismissed" // taken back, by whomever
)

// Reviewed is a pull request with all that was said of it.
type Reviewed struct {
	Head   gitsync.Commit
	Author Account
	Agent  Account
	// Wrote are the authors and committers of its commits.
	Wrote   []Account
	Reviews []Review // the oldest first
}

// Approvals are the people who approve exactly the head, and why other
// approvals do not count. The last word of each counts, a comment being none.
// Nobody approves what they opened or wrote, and no program approves anything.
// Whether they may write to the repository at all is not looked at here.
func (r Reviewed) Approvals() (by []Account, rejected []string) {
	last := map[int64]Review{}
	var order []Account
	for _, review := range r.Reviews {
		if review.By.ID == 0 {
			continue // the account is gone
		}
		switch review.Opinion {
		case Approved, ChangesRequested, Dismissed:
			if _, seen := last[review.By.ID]; !seen {
				order = append(order, review.By)
			}
			last[review.By.ID] = review
		}
	}
	reject := func(a Account, format string, args ...any) {
		rejected = append(rejected, a.Login+" "+fmt.Sprintf(format, args...))
	}
	for _, a := range order {
		switch review := last[a.ID]; {
		case review.Opinion == ChangesRequested:
			reject(a, "asked for changes")
		case review.Opinion == Dismissed:
			reject(a, "had a review that was dismissed")
		case a.Bot, a.ID == r.Agent.ID:
			reject(a, "is no person")
		case a.ID == r.Author.ID:
			reject(a, "opened the pull request")
		case wrote(r.Wrote, a):
			reject(a, "wrote a commit of it")
		case r.Head == "" || review.Commit != r.Head:
			reject(a, "approved %s, which is not the head", review.Commit.Short())
		default:
			by = append(by, a)
		}
	}
	return by, rejected
}

func wrote(list []Account, a Account) bool {
	_, ok := find(list, func(w Account) bool { return w.ID == a.ID })
	return ok
}

// rejectedShown bounds how many rejected approvals a reason names.
const rejectedShown = 5

// LacksApprovals says what is missing of the demanded approvals; empty if
// nothing is.
func LacksApprovals(demanded, counted int, rejected []string) string {
	if counted >= demanded {
		return ""
	}
	out := fmt.Sprintf("needs %d of %d approvals", demanded-counted, demanded)
	if demanded == 1 {
		out = "needs 1 approval"
	}
	if len(rejected) == 0 {
		return out
	}
	more := ""
	if n := len(rejected) - rejectedShown; n > 0 {
		rejected, more = rejected[:rejectedShown], fmt.Sprintf("; and %d more", n)
	}
	return out + " (" + strings.Join(rejected, "; ") + more + ")"
}
