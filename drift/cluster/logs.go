package cluster

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pawl-dev/pawl/drift"
)

// The end of a log that goes to the check. It may hold anything, also secrets,
// so it is only read where that was asked for.
const (
	logLines = 10
	logBytes = 2048
)

// logTimeout is how long a failure waits for the last words that explain it.
const logTimeout = 2 * time.Second

// lastWords are the end of a log.
type lastWords struct {
	of    drift.Crash
	said  string
	known bool
}

// withLog adds the last words of a container that ended badly to a cause, which
// is not fatal until they are known or cannot be. c.mu is held.
func (p *podWatch) withLog(cause drift.Cause) drift.Cause {
	words := p.logs[cause.Crash.Pod]
	if words == nil || words.of != cause.Crash {
		words = &lastWords{of: cause.Crash}
		p.logs[cause.Crash.Pod] = words
		p.c.spawn(func() { p.readLog(words) })
	}
	cause.Fatal = cause.Fatal && words.known
	if words.said != "" {
		cause.Message += "; its log ends: " + words.said
	}
	return cause
}

func (p *podWatch) readLog(words *lastWords) {
	ctx, cancel := context.WithTimeout(p.c.ctx, logTimeout)
	defer cancel()
	body, err := p.c.rest.Get().AbsPath("/api/v1/namespaces", p.namespace, "pods", words.of.Pod, "log").
		Param("container", words.of.Container).Param("previous", strconv.FormatBool(words.of.Previous)).
		Param("tailLines", strconv.Itoa(logLines)).Param("limitBytes", strconv.Itoa(logBytes)).
		Do(ctx).Raw()
	if err != nil {
		p.c.options.Log.Warn().Err(err).Str("object", "Pod "+p.namespace+"/"+words.of.Pod).Str("container", words.of.Container).Msg("its log cannot be read")
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	words.known = true
	if err == nil {
		words.said = inOneLine(string(body))
	}
	p.explain()
}

// inOneLine joins the lines of a log, without what would do something to a terminal.
func inOneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r != '\n' && (unicode.IsControl(r) || r == unicode.ReplacementChar) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ⏎ ")
}
