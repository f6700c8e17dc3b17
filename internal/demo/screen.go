package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// screen prints the demo, a line for each step when it is over.
type screen struct {
	out io.Writer
	// live says that out is a terminal: a step shows while it is under way.
	live bool
	now  func() time.Time
}

// Columns of the lines, in characters.
const labelWidth, timeWidth = 42, 8

func (s *screen) title(text string) { fmt.Fprintf(s.out, "%s\n\n", text) }

func (s *screen) chapter(number int, title, detail string) {
	fmt.Fprintf(s.out, "\n%3d  %s%s\n", number, pad(title, labelWidth), detail)
}

// note is a line below a step.
func (s *screen) note(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintf(s.out, "         %s\n", strings.TrimRight(line, "\n"))
	}
}

// step runs one step and says how it went and how long it took. What it
// returns stands behind the time.
func (s *screen) step(ctx context.Context, label string, do func(context.Context) (string, error)) error {
	if s.live {
		fmt.Fprintf(s.out, "     … %s", label)
	}
	started := s.now()
	detail, err := do(ctx)
	took := s.now().Sub(started)
	if s.live {
		fmt.Fprint(s.out, "\r\x1b[2K")
	}
	mark := "✓"
	if err != nil {
		mark, detail = "✗", ""
	}
	fmt.Fprintf(s.out, "     %s %s%s   %s\n", mark, pad(label, labelWidth), padLeft(short(took), timeWidth), detail)
	if err != nil {
		s.note(err.Error())
		return fmt.Errorf("%s: %w", label, err)
	}
	return nil
}

// short writes a duration with three digits at most: "38 ms", "2.3 s".
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(width-utf8.RuneCountInString(s), 1))
}

func padLeft(s string, width int) string {
	return strings.Repeat(" ", max(width-utf8.RuneCountInString(s), 0)) + s
}
