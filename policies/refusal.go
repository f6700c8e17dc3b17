package policies

import (
	"fmt"
	"strings"

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
}

// ImageRefusal is one place with an image that may not run.
type ImageRefusal struct {
	Image  string // pinned where it is pinned, else what the object says
	Object string
	Field  string
	// Demanded is what would be enough: `a signature by the key "release"`.
	Demanded string
	// Found goes on after the image's name: `has no signature by the key "release"`.
	Found string
	// Hint is the next step, a sentence without its full stop.
	Hint string
}

// refusedShown bounds an error's text; Images has all of them.
const refusedShown = 20

// Error is one line for one image, and a line for each of several. Places
// with the same image and reason share one.
func (r *Refusal) Error() string {
	if len(r.Images) == 0 {
		return fmt.Sprintf("%s: %s", r.Target, r.Reason)
	}
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
	line := func(i ImageRefusal) string {
		where := i.Object + ", " + i.Field
		switch n := more[key{i.Image, i.Found}]; {
		case n == 1:
			where += ", and 1 more place"
		case n > 1:
			where += fmt.Sprintf(", and %d more places", n)
		}
		return fmt.Sprintf("image %s %s (%s). %s.", shorten(i.Image), i.Found, where, i.Hint)
	}
	if len(firsts) == 1 {
		return fmt.Sprintf("%s: %s", r.Target, line(firsts[0]))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d images are refused", r.Target, len(firsts))
	for n, i := range firsts {
		if n == refusedShown {
			fmt.Fprintf(&b, "\n  and %d more", len(firsts)-n)
			break
		}
		b.WriteString("\n  " + line(i))
	}
	return b.String()
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
