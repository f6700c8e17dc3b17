package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/agent"
)

func TestAgesAreSaidAsPeopleDo(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second:            "0 s", // the agent's clock is ahead
		40 * time.Second:        "40 s",
		119 * time.Second:       "119 s",
		2 * time.Minute:         "2 m",
		100 * time.Minute:       "100 m",
		2 * time.Hour:           "2 h",
		47 * time.Hour:          "47 h",
		9*24*time.Hour + 1:      "9 d",
		400 * 24 * time.Hour:    "400 d",
		2*time.Hour - time.Hour: "60 m",
	} {
		if got := age(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}

func TestAPromotionIsToldInANote(t *testing.T) {
	t.Parallel()
	for because, tt := range map[string]struct {
		promotion agent.Promotion
		want      string
	}{
		"nothing is on its way":      {agent.Promotion{Verdict: "nothing", Why: "every digest is there already"}, ""},
		"something is missing":       {agent.Promotion{Verdict: "wait", Why: "dev/web failed"}, "waits: dev/web failed"},
		"there is no request yet":    {agent.Promotion{Verdict: "go"}, ""},
		"a request is open":          {agent.Promotion{Verdict: "go", PullRequest: 12, State: "open"}, "#12 is open"},
		"GitHub waits for something": {agent.Promotion{Verdict: "go", PullRequest: 12, State: "open", Blocked: "it waits for a review"}, "#12: it waits for a review"},
		"the reason names it itself": {agent.Promotion{Verdict: "go", PullRequest: 12, State: "open", Blocked: "#12 has commits that are not Pawl's"}, "#12 has commits that are not Pawl's"},
		"no request can be opened":   {agent.Promotion{Verdict: "go", Blocked: "the branch has other commits"}, "the branch has other commits"},
		"it is merged":               {agent.Promotion{Verdict: "go", PullRequest: 12, State: "merged"}, ""},
	} {
		if got := entering(tt.promotion); got != tt.want {
			t.Errorf("%s: got %q, want %q", because, got, tt.want)
		}
	}
}

func TestProgressIsForTerminalsAndGoesAway(t *testing.T) {
	t.Parallel()
	var terminal, log strings.Builder
	for _, p := range []progress{{&terminal, true}, {&log, false}} {
		p.say("rendering %s", "dev\x1b[2J")
		p.done()
	}
	if got, want := terminal.String(), clearLine+"rendering dev\uFFFD[2J …"+clearLine; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if log.Len() > 0 {
		t.Errorf("a log got %q", log.String())
	}
	if progressOn(&log).live {
		t.Error("a log was taken for a terminal")
	}
}

// catalogue 29
func TestStrangersTextDoesNotMoveTheCursor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"web → 3f1c…\n\tnext":       "web → 3f1c…\n\tnext",
		"\x1b[31mgreen\x07\r":       "\uFFFD[31mgreen\uFFFD\uFFFD",
		"abc\u202edef\u200b\x00":    "abc\uFFFDdef\uFFFD\uFFFD",
		"broken \xff\xfe":           "broken \uFFFD\uFFFD",
		"Grüße, 你好, ✓ and ✗ remain": "Grüße, 你好, ✓ and ✗ remain",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
