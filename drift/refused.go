package drift

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

var (
	// ErrUnverified says that the zero policies.Verified was to be applied.
	ErrUnverified = errors.New("a release that was not verified is never applied; get one from policies.Judge")
	// ErrEmpty says that a release has no objects. That is never taken as a wish
	// to prune everything.
	ErrEmpty = errors.New("the release has no objects; nothing was written or pruned. If the target is to go for good, remove its overlay, and say so in the commit (docs/runbook.md, Retiring an application)")
)

// Rejected says that the API server does not accept objects of a release.
type Rejected struct {
	Target   environments.Target
	Of       int // how many objects were tried
	Problems []Problem
	// Written is true when other objects may have been written: those of an
	// earlier stage, as the namespace or kind of these came with this release,
	// or any, where the server took an object in the trial and not in earnest.
	Written bool
	// Offline is true when it was found without asking the API server.
	Offline bool
}

// Problem is why one object is not accepted.
type Problem struct {
	Object ObjectID
	Field  string // "spec.replicas", where the server says it
	Reason string
	// Awaits is the namespace or the definition without which the object cannot be
	// made, and which may come; zero where waiting does not help.
	Awaits ObjectID
	// File and Line are where the object is declared, as far as that is known.
	File string
	Line int
}

// Passes reports whether nothing is wrong with the objects but that they cannot be
// made before something else is there.
func (e *Rejected) Passes() bool {
	return len(e.Problems) > 0 && !slices.ContainsFunc(e.Problems, func(p Problem) bool { return p.Awaits == ObjectID{} })
}

func (p Problem) String() string {
	text := fmt.Sprintf("%s: %s", p.Object, p.Reason)
	if p.Field != "" {
		text = fmt.Sprintf("%s: %s: %s", p.Object, p.Field, p.Reason)
	}
	switch {
	case p.File == "":
		return text
	case p.Line == 0:
		return p.File + ": " + text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, text)
}

// Locate notes where the objects of the problems are declared, by
// render.Release.Places.
func (e *Rejected) Locate(places map[string]render.Place) {
	for i, p := range e.Problems {
		name := p.Object.Name
		place, ok := places[p.Object.Kind+" "+name]
		if ns := p.Object.Namespace; ns != "" {
			declared, found := places[p.Object.Kind+" "+ns+"/"+name]
			if found {
				place, ok = declared, true
			} // else it leaves out its namespace, which is "default"
		}
		if ok {
			e.Problems[i].File, e.Problems[i].Line = place.File, place.Line
		}
	}
}

func (e *Rejected) Error() string {
	written := "nothing was written"
	if e.Written {
		written = "others had to be written before that was known"
	}
	var lines strings.Builder
	for _, p := range e.Problems {
		fmt.Fprintf(&lines, "\n  %s", p)
	}
	if e.Offline {
		return fmt.Sprintf("%s: it cannot be applied, %s:%s", e.Target, count(len(e.Problems), "problem", e.Of), lines.String())
	}
	if e.Passes() {
		return fmt.Sprintf("%s: %d of %d objects cannot be made yet, %s:%s", e.Target, len(e.Problems), e.Of, written, lines.String())
	}
	return fmt.Sprintf("%s: the API server refuses %s, %s:%s", e.Target, count(len(e.Problems), "problem", e.Of), written, lines.String())
}

func count(n int, what string, of int) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s in %d objects", n, what, of)
}

// Conflict says that objects of a release belong to another target.
type Conflict struct {
	Target  environments.Target
	Objects []Held
}

// Held is an object that belongs to somebody.
type Held struct {
	Object ObjectID
	By     Mark
	Claims []Claim // instead of By, where it is that of other tools
	// LetsGo says that whose it is no longer declares it at this commit, and has
	// only not been brought to it yet.
	LetsGo bool
}

// Passes reports whether all of it will be let go without anybody's doing.
func (e *Conflict) Passes() bool {
	return len(e.Objects) > 0 && !slices.ContainsFunc(e.Objects, func(h Held) bool { return !h.LetsGo })
}

func (e *Conflict) Error() string {
	var lines strings.Builder
	var advice []string
	say := func(text string) {
		if !slices.Contains(advice, text) {
			advice = append(advice, text)
		}
	}
	for _, h := range e.Objects {
		if len(h.Claims) > 0 {
			fmt.Fprintf(&lines, "\n  %s belongs to %s", h.Object, names(h.Claims))
		}
		for _, claim := range h.Claims {
			say(fmt.Sprintf(`To take over what %[1]s made, first stop %[1]s there without letting it delete anything, then write "adopt: [%[1]s]" for the environment in pawl.yaml (runbook: Moving from another tool)`, claim.Tool))
		}
		if len(h.Claims) > 0 {
			continue
		}
		fmt.Fprintf(&lines, "\n  %s belongs to %s", h.Object, h.By)
		if h.LetsGo {
			lines.WriteString(", which no longer declares it and has not let go of it yet")
			say("It is taken over as soon as that target is applied at this commit")
			continue
		}
		say("Remove it from one of them; to hand it over, first remove its label " + LabelTarget)
	}
	return fmt.Sprintf("%s: nothing was written, as one object can have one owner only:%s\n%s", e.Target, lines.String(), strings.Join(advice, "\n"))
}

// UnknownLive says that live objects could not be read. What is unknown is
// never taken for absent.
type UnknownLive struct {
	Target  environments.Target
	Objects []Unread
}

// Unread is an object that could not be read, and why.
type Unread struct {
	Object ObjectID
	Why    error
}

func (e *UnknownLive) Error() string {
	return e.what("nothing was written, as %s could not be read")
}

func (e *UnknownLive) what(happened string) string {
	var lines strings.Builder
	for i, u := range e.Objects {
		if i == 10 {
			fmt.Fprintf(&lines, "\n  and %d more", len(e.Objects)-i)
			break
		}
		why := u.Why
		if why == nil {
			why = errors.New("it was not looked at")
		}
		fmt.Fprintf(&lines, "\n  %s: %v", u.Object, why)
	}
	return fmt.Sprintf("%s: %s:%s", e.Target, fmt.Sprintf(happened, countUnread(len(e.Objects))), lines.String())
}

// NoRight says that the agent may not read a kind, which only a person changes. Its
// words are those of the API server: they name verb, resource and account.
type NoRight struct{ Err error }

func (e *NoRight) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *NoRight) Unwrap() error { return e.Err }

// Unwrap gives the causes.
func (e *UnknownLive) Unwrap() []error {
	var causes []error
	for _, u := range e.Objects {
		if u.Why != nil {
			causes = append(causes, u.Why)
		}
	}
	return causes
}

func countUnread(n int) string {
	if n == 1 {
		return "a live object"
	}
	return fmt.Sprintf("%d live objects", n)
}

// Sort orders the problems by object, so that the same ones read the same.
func (e *Rejected) Sort() {
	slices.SortStableFunc(e.Problems, func(a, b Problem) int { return compareIDs(a.Object, b.Object) })
}
