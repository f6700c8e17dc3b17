package promote

import (
	"strings"
	"testing"
)

func TestApprovals(t *testing.T) {
	t.Parallel()
	ann, bob, carol := Account{ID: 1, Login: "ann"}, Account{ID: 2, Login: "bob"}, Account{ID: 3, Login: "carol"}
	bot, agent := Account{ID: 4, Login: "ci[bot]", Bot: true}, Account{ID: 5, Login: "robot"}
	const old = "77be1c2000000000000000000000000000000000"
	said := func(by Account, o Opinion) Review { return Review{By: by, Opinion: o, Commit: head} }
	for name, c := range map[string]struct {
		reviews  []Review
		wrote    []Account
		by       string
		rejected string
	}{
		"nobody":                     {},
		"two of two":                 {reviews: []Review{said(bob, Approved), said(carol, Approved)}, by: "bob carol"},
		"twice is once":              {reviews: []Review{said(bob, Approved), said(bob, Approved)}, by: "bob"},
		"the author":                 {reviews: []Review{said(ann, Approved)}, rejected: "ann opened the pull request"},
		"who wrote a commit":         {reviews: []Review{said(bob, Approved)}, wrote: []Account{bob}, rejected: "bob wrote a commit of it"},
		"a program":                  {reviews: []Review{said(bot, Approved), said(agent, Approved)}, rejected: "ci[bot] is no person, robot is no person"},
		"another head":               {reviews: []Review{{By: bob, Opinion: Approved, Commit: old}}, rejected: "bob approved 77be1c2, which is not the head"},
		"an older, then this head":   {reviews: []Review{{By: bob, Opinion: Approved, Commit: old}, said(bob, Approved)}, by: "bob"},
		"no head is named":           {reviews: []Review{{By: bob, Opinion: Approved}}, rejected: "bob approved , which is not the head"},
		"then asked for changes":     {reviews: []Review{said(bob, Approved), said(bob, ChangesRequested)}, rejected: "bob asked for changes"},
		"changes, then approved":     {reviews: []Review{said(bob, ChangesRequested), said(bob, Approved)}, by: "bob"},
		"dismissed":                  {reviews: []Review{said(bob, Dismissed)}, rejected: "bob had a review that was dismissed"},
		"a comment takes back none":  {reviews: []Review{said(bob, Approved), said(bob, "")}, by: "bob"},
		"a comment is none":          {reviews: []Review{said(bob, "")}},
		"an account that is gone":    {reviews: []Review{said(Account{}, Approved)}},
		"one who changed their name": {reviews: []Review{said(bob, Approved), said(Account{ID: 2, Login: "rob"}, ChangesRequested)}, rejected: "bob asked for changes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			by, rejected := Reviewed{Head: head, Author: ann, Agent: agent, Wrote: c.wrote, Reviews: c.reviews}.Approvals()
			var logins []string
			for _, a := range by {
				logins = append(logins, a.Login)
			}
			if got := strings.Join(logins, " "); got != c.by {
				t.Errorf("approved by %q, want %q", got, c.by)
			}
			if got := strings.Join(rejected, ", "); got != c.rejected {
				t.Errorf("rejected: %q, want %q", got, c.rejected)
			}
		})
	}
	if by, _ := (Reviewed{Reviews: []Review{{By: bob, Opinion: Approved}}}).Approvals(); len(by) != 0 {
		t.Error("a head that is not known was approved")
	}
}

func TestLacksApprovals(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"":                 LacksApprovals(0, 0, nil) + LacksApprovals(2, 2, []string{"bob asked for changes"}) + LacksApprovals(1, 3, nil),
		"needs 1 approval": LacksApprovals(1, 0, nil),
		"needs 1 of 2 approvals (bob asked for changes)":     LacksApprovals(2, 1, []string{"bob asked for changes"}),
		"needs 2 of 2 approvals (1; 2; 3; 4; 5; and 2 more)": LacksApprovals(2, 0, strings.Split("1234567", "")),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
