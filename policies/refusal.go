package policies

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/pawl-dev/pawl/environments"
)

// Refusal says why a release may not run. A person must act: the same release
// and the same evidence are refused again.
type Refusal struct {
	Target environments.Target
	// Reason is set where the release as a whole is refused, whatever its images.
	Reason string
	// Images are all places with a refused image, in the release's order.
	Images []ImageRefusal
	// Denials are all other reasons.
	Denials []Denial
}

// ImageRefusal is one place with an image that may not run.
type ImageRefusal struct {
	Image  string // pinned where it is pinned, else what the object says
	Object string
	Field  string
	// File and Line are where the image is written; empty and 0 if that is not known.
	File string
	Line int
	// Demanded is what would be enough: `a signature by the key "release"`.
	Demanded string
	// Found goes on after the image's name: `has no signature by the key "release"`.
	Found string
	// Hint is the next step, a sentence without its full stop.
	Hint string
}

// Denial is a reason that is not about an image's evidence.
type Denial struct {
	Kind DenialKind
	// Subject is what is refused: the policy's name, "commit 8d2e1a7", "pull
	// request #12".
	Subject string
	// Demanded is what would be enough. Found goes on after the subject: "is not
	// signed". Both may hold the texts of strangers: escape them.
	Demanded, Found string
	// Hint is the next step, a sentence without its full stop.
	Hint string
	// Rule is the rule of the policy, and Object what it denies, if it says so:
	// "Deployment shop/web".
	Rule, Object string
	// File and Line are where that is written; empty and 0 if it is not known.
	File string
	Line int
}

// DenialKind is what denies.
type DenialKind string

const (
	DeniedByPolicy    DenialKind = "policy"
	DeniedByCommit    DenialKind = "commit"
	DeniedByHistory   DenialKind = "history"
	DeniedByApprovals DenialKind = "approvals"
)

func (d Denial) line() string {
	subject := d.Subject
	if d.Kind == DeniedByPolicy {
		subject = "policy " + subject
	}
	var where []string
	if d.Rule != "" {
		where = append(where, "rule "+d.Rule)
	}
	if d.File != "" {
		where = append(where, written(d.File, d.Line))
	}
	found := strings.TrimSuffix(d.Found, ".")
	if len(where) > 0 {
		found += " (" + strings.Join(where, ", ") + ")"
	}
	return fmt.Sprintf("%s %s. %s.", subject, found, d.Hint)
}

// written is a place as editors jump to it: "apps/web/deployment.yaml:12".
func written(file string, line int) string {
	if line <= 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

const (
	// refusedShown bounds an error's text; Images and Denials have all of them.
	refusedShown = 20
	// maxText bounds what somebody else wrote and a refusal repeats.
	maxText = 400
)

// Error is one line for one reason, and a line for each of several. Places
// with the same image and reason share one.
func (r *Refusal) Error() string {
	if r.Reason != "" || len(r.Images)+len(r.Denials) == 0 {
		return fmt.Sprintf("%s: %s", r.Target, r.Reason)
	}
	lines := r.imageLines()
	images := len(lines)
	for _, d := range r.Denials {
		lines = append(lines, d.line())
	}
	for i, line := range lines {
		// A text of a stranger may not look like lines of ours.
		lines[i] = strings.Map(func(c rune) rune {
			if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' {
				return ' '
			}
			return c
		}, line)
	}
	var b strings.Builder
	switch {
	case len(lines) == 1:
		return fmt.Sprintf("%s: %s", r.Target, lines[0])
	case images == len(lines):
		fmt.Fprintf(&b, "%s: %d images are refused", r.Target, images)
	default:
		fmt.Fprintf(&b, "%s: refused for %d reasons", r.Target, len(lines))
	}
	for n, line := range lines {
		if n == refusedShown {
			fmt.Fprintf(&b, "\n  and %d more", len(lines)-n)
			break
		}
		b.WriteString("\n  " + line)
	}
	return b.String()
}

func (r *Refusal) imageLines() []string {
	type key struct{ image, found string }
	more := map[key]int{}
	var firsts []ImageRefusal
	for _, i := range r.Images {
		k := key{i.Image, i.Found}
		if _, seen := more[k]; !seen {
			firsts = append(firsts, i)
			more[k] = -1
		}
		more[k]++
	}
	var lines []string
	for _, i := range firsts {
		where := i.Object + ", " + i.Field
		if i.File != "" {
			where += ", " + written(i.File, i.Line)
		}
		switch n := more[key{i.Image, i.Found}]; {
		case n == 1:
			where += ", and 1 more place"
		case n > 1:
			where += fmt.Sprintf(", and %d more places", n)
		}
		lines = append(lines, fmt.Sprintf("image %s %s (%s). %s.", shorten(i.Image), i.Found, where, i.Hint))
	}
	return lines
}

// Unavailable says that an image could not be checked because its registry
// could not be asked. It is no verdict: nothing is applied, and trying again
// may help without anybody doing anything.
type Unavailable struct {
	Image string // pinned
	Err   error
}

func (u *Unavailable) Error() string {
	return fmt.Sprintf("image %s cannot be verified now: %v", shorten(u.Image), u.Err)
}

func (u *Unavailable) Unwrap() error { return u.Err }

// shorten keeps as much of a digest as people compare.
func shorten(image string) string {
	const shown = 12
	repository, digest, ok := strings.Cut(image, "@sha256:")
	if !ok || len(digest) <= shown {
		return image
	}
	return repository + "@sha256:" + digest[:shown] + "…"
}
