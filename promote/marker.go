package promote

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Marker is what a proposal's body hides for the agent to recognise it later.
// Anybody with write access can write one, so it counts only together with
// what GitHub itself says: who opened the pull request, and from where.
type Marker struct {
	Environment string       `json:"environment"`
	Source      string       `json:"source,omitempty"`
	Moves       []MarkedMove `json:"moves,omitempty"` // left out where there are too many
	// Fingerprint stands for the environment and all moves.
	Fingerprint string `json:"fingerprint"`
}

// MarkedMove is a move in a Marker.
type MarkedMove struct {
	Application string `json:"application,omitempty"`
	Repository  string `json:"repository"`
	From        string `json:"from,omitempty"`
	To          string `json:"to"`
}

const (
	markerStart = "<!-- pawl:promotion "
	markerEnd   = " -->"
	markerMoves = 50
)

// Marker is what the body of the proposal hides.
func (p Proposal) Marker() Marker {
	m := Marker{Environment: p.Environment, Source: p.Source, Fingerprint: fingerprint(p.Environment, p.Moves)}
	if len(p.Moves) <= markerMoves {
		for _, move := range p.Moves {
			m.Moves = append(m.Moves, MarkedMove{Application: move.Target.Application, Repository: move.Repository, From: move.From, To: move.To})
		}
	}
	return m
}

// fingerprint identifies where which digests go, whatever they replace.
func fingerprint(environment string, moves []Move) string {
	lines := make([]string, 0, len(moves))
	for _, m := range moves {
		lines = append(lines, fmt.Sprintf("%q %q %q", m.Target.Application, m.Repository, m.To))
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(fmt.Sprintf("%q\n%s", environment, strings.Join(slices.Compact(lines), "\n"))))
	return hex.EncodeToString(sum[:16])
}

// String is the marker as a comment that markdown does not show.
func (m Marker) String() string {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(m) // strings and lists of them: cannot fail; "<", ">" and "&" come escaped
	// "--" may end a comment, and stands in JSON only within strings.
	text := strings.ReplaceAll(strings.TrimSpace(b.String()), "--", `-\u002d`)
	return markerStart + text + markerEnd
}

// ParseMarker finds the marker in a pull request's body. Of several the last
// counts: it is the one that the agent wrote.
func ParseMarker(body string) (Marker, bool) {
	at := strings.LastIndex(body, markerStart)
	if at < 0 {
		return Marker{}, false
	}
	text, _, ok := strings.Cut(body[at+len(markerStart):], markerEnd)
	var m Marker
	if !ok || json.Unmarshal([]byte(text), &m) != nil || m.Fingerprint == "" {
		return Marker{}, false
	}
	return m, true
}

// Withdrawn is the body of a pull request that the agent takes back: it says
// why, and has no marker any more.
func Withdrawn(body, why string) string {
	if before, _, marked := strings.Cut(body, markerStart); marked {
		body = before
	}
	return "**Withdrawn by Pawl** — " + Escape(clip(why, 500)) + ".\n\n" + strings.TrimSpace(body) + "\n"
}

// compareMoves orders moves as people read them.
func compareMoves(a, b Move) int {
	return cmp.Or(cmp.Compare(a.Target.Application, b.Target.Application), cmp.Compare(a.Repository, b.Repository))
}
