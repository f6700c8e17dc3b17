package promote

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// bodyLimit is what GitHub takes in a pull request's body, in characters.
const bodyLimit = 65_536

// Base is where a proposal starts from, and the changed files.
type Base struct {
	Branch string // the watched branch
	Commit gitsync.Commit
	// Files are the whole new contents by path, made with Bump.
	Files map[string][]byte
}

// Propose writes the pull request for a batch that goes.
func Propose(environment string, b Batch, base Base) Proposal {
	moves := slices.Clone(b.Moves)
	slices.SortStableFunc(moves, compareMoves)
	p := Proposal{
		Environment: environment,
		Source:      strings.Join(sourcesOf(moves), ", "),
		Base:        base.Commit,
		BaseBranch:  base.Branch,
		Branch:      BranchFor(environment, b.Application),
		Files:       base.Files,
		Moves:       moves,
		Approvals:   b.Approvals,
		Auto:        b.Auto,
		Title:       title("Promote", moves, " to "+environment),
	}
	p.Body = p.body(b.Why)
	return p
}

// BranchFor is the branch that promotions of an application into an environment
// come from; application is empty where all go together.
func BranchFor(environment, application string) string {
	branch := "pawl/promote/" + environment
	if application != "" {
		branch += "/" + application
	}
	return branch
}

// CommitMessage is the message of the commit on the proposal's branch. It is
// plain text, and mentions nobody.
func (p Proposal) CommitMessage() string {
	return p.Title + "\n\n" + listed(p.Moves) + fmt.Sprintf("\nHealthy in %s. Proposed by Pawl.\n", p.Source)
}

// TrackMessage is the message of the commit that brings tracked tags' digests
// into the first environment.
func TrackMessage(environment string, moves []Move) string {
	moves = slices.Clone(moves)
	slices.SortStableFunc(moves, compareMoves)
	return title("Deploy", moves, " to "+environment) + "\n\n" + listed(moves) + "\nFound by tag and verified by Pawl.\n"
}

// title says as much as fits on a line: "Promote web to production: 9ab0… → 3f1c…".
func title(verb string, moves []Move, to string) string {
	apps := applicationsOf(moves)
	switch {
	case len(moves) == 1:
		m := moves[0]
		from := "a tag"
		if m.From != "" {
			from = shortDigest(m.From)[:4] + "…"
		}
		return fmt.Sprintf("%s %s%s: %s → %s…", verb, labelOf(m), to, from, shortDigest(m.To)[:4])
	case len(apps) <= 3:
		return fmt.Sprintf("%s %s%s: %d images", verb, strings.Join(apps, ", "), to, len(moves))
	}
	return fmt.Sprintf("%s %d applications%s: %d images", verb, len(apps), to, len(moves))
}

func applicationsOf(moves []Move) []string {
	var out []string
	for _, m := range moves {
		if l := labelOf(m); !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

// labelOf is the application, or where there are none the last part of the
// repository.
func labelOf(m Move) string {
	if m.Target.Application != "" {
		return m.Target.Application
	}
	return m.Repository[strings.LastIndexByte(m.Repository, '/')+1:]
}

func sourcesOf(moves []Move) []string {
	var out []string
	for _, m := range moves {
		for _, p := range m.Passed {
			if !slices.Contains(out, p.Environment) {
				out = append(out, p.Environment)
			}
		}
	}
	return out
}

// messageMoves bounds a commit message; the files have all of them.
const messageMoves = 200

func listed(moves []Move) string {
	var b strings.Builder
	for i, m := range moves {
		if i == messageMoves {
			fmt.Fprintf(&b, "and %d more\n", len(moves)-i)
			break
		}
		from := m.From
		if from == "" {
			from = "not pinned"
		}
		fmt.Fprintf(&b, "%s: %s\n  from %s\n  to   %s", m.Target, familiar(m.Repository), from, m.To)
		if tag := plainTag(m.Tag); tag != "" {
			fmt.Fprintf(&b, " (%s)", tag)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// plainTag is a tag if it is written as registries take them, so that it can
// stand in plain text.
func plainTag(tag string) string {
	if len(tag) > 128 || strings.Trim(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return ""
	}
	return tag
}

// body is the text of the pull request. Rows that do not fit are counted.
func (p Proposal) body(behind string) string {
	marker := p.Marker().String()
	tail := "\n" + evidenceLine(p.Moves) + "\n" + passedLine(p.Moves) + "\n"
	if behind != "" {
		tail += "\n**Left behind** — " + Escape(clip(behind, 2_000)) + "\n"
	}
	if p.Approvals > 0 {
		tail += "\n**To merge** — " + p.toMerge() + "\n"
	}
	tail += "\n**To roll back** — merge a revert of this pull request.\n\n" +
		"<sub>Opened and kept up to date by Pawl. It changes only these digests. " +
		"A commit of yours on this branch stops the updates; closing it without merging means that these digests are not proposed again.</sub>\n\n" + marker + "\n"

	var b strings.Builder
	b.WriteString("| application | image | from | to | healthy |\n| --- | --- | --- | --- | --- |\n")
	room := bodyLimit - utf8.RuneCountInString(tail) - 200
	for i, m := range p.Moves {
		row := row(m)
		if utf8.RuneCountInString(b.String())+utf8.RuneCountInString(row) > room {
			fmt.Fprintf(&b, "\n%d more rows do not fit here; the changed files have all of them.\n", len(p.Moves)-i)
			break
		}
		b.WriteString(row)
	}
	return b.String() + tail
}

// toMerge says what the environment demands of the pull request.
func (p Proposal) toMerge() string {
	who := fmt.Sprintf("%d people who may write to this repository have", p.Approvals)
	if p.Approvals == 1 {
		who = "somebody who may write to this repository has"
	}
	if p.Auto {
		return "Pawl merges it as soon as " + who + " approved exactly its last commit, and GitHub allows it."
	}
	return Escape(p.Environment) + " applies it when " + who + " approved exactly its last commit, and it is merged."
}

func row(m Move) string {
	from := "a tag"
	if m.From != "" {
		from = code("sha256:" + shortDigest(m.From))
	}
	var passed []string
	for _, p := range m.Passed {
		passed = append(passed, fmt.Sprintf("%s at %s, %s", Escape(p.Environment), p.Commit.Short(), since(p.Since)))
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n",
		Escape(labelOf(m)), code(familiar(m.Repository)), from+tagged(m.FromTag), code("sha256:"+shortDigest(m.To))+tagged(m.Tag), strings.Join(passed, "<br>"))
}

func tagged(tag string) string {
	if tag == "" {
		return ""
	}
	return " (" + Escape(clip(tag, 128)) + ")"
}

// since is a fixed time, not an age: the same facts give the same text.
func since(t time.Time) string {
	if t.IsZero() {
		return "since unknown"
	}
	return "since " + t.UTC().Format("2006-01-02 15:04") + " UTC"
}

// evidence says by whom a digest is signed, and what is attested of it.
func evidence(e policies.Evidence) string {
	return strings.Join(append([]string{signers(e)}, attestedDetails(e)...), " · ")
}

// evidenceLimit is from where on no more evidence is told, in bytes.
const evidenceLimit = 12 << 10

// evidenceLine is the evidence of all new digests.
func evidenceLine(moves []Move) string {
	var by []string
	for _, m := range moves {
		if s := evidence(m.Evidence); !slices.Contains(by, s) {
			by = append(by, s)
		}
	}
	if len(by) == 1 {
		return "**Evidence** — every new digest is " + by[0] + "."
	}
	out := "**Evidence**\n\n"
	for i, m := range moves {
		if i == 30 || len(out) > evidenceLimit {
			return out + fmt.Sprintf("- and %d more, each verified\n", len(moves)-i)
		}
		out += "- " + code(short(familiar(m.Repository), m.To)) + ": " + evidence(m.Evidence) + "\n"
	}
	return strings.TrimSuffix(out, "\n")
}

// signers says by whom, and how the signatures are stored: "signed by the key
// release (bundle)", "signed by release.yml@main (bundle)".
func signers(e policies.Evidence) string {
	var keys []string
	schemes := map[string][]string{}
	named := map[string]string{}
	for _, s := range e.Signatures {
		if _, ok := schemes[s.By.Signer]; !ok {
			keys = append(keys, s.By.Signer)
			if named[s.By.Signer] = Escape(clip(s.By.Signer, 100)); s.By.Issuer == "" {
				named[s.By.Signer] = "the key " + named[s.By.Signer]
			}
		}
		if !slices.Contains(schemes[s.By.Signer], string(s.Scheme)) {
			schemes[s.By.Signer] = append(schemes[s.By.Signer], string(s.Scheme))
		}
	}
	if len(keys) == 0 {
		return "not signed by anybody trusted"
	}
	slices.Sort(keys)
	var parts []string
	for _, k := range keys {
		slices.Sort(schemes[k])
		parts = append(parts, fmt.Sprintf("%s (%s)", named[k], strings.Join(schemes[k], ", ")))
	}
	return "signed by " + strings.Join(parts, " and ")
}

func passedLine(moves []Move) string {
	sources := sourcesOf(moves)
	for i := range sources {
		sources[i] = Escape(sources[i])
	}
	return "\n**What was asked of them** — healthy in " + strings.Join(sources, " and ") + " at the head of the branch, and evidence that satisfies the agent's trust."
}
