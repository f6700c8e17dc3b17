package promote

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// zeroWidth stands where GitHub would otherwise see a mention, a reference to
// an issue, or a link. It is not seen, and breaks the pattern.
const zeroWidth = "&#8203;"

// Escape makes text of strangers fit to stand in GitHub's markdown on one line:
// it shows as it is, and formats, links, mentions, closes and hides nothing.
func Escape(s string) string {
	var b strings.Builder
	before := ' '
	for i, r := range s {
		switch {
		case r == utf8.RuneError, hidden(r):
			r = '�'
			b.WriteRune(r)
		case r == '\n', r == '\r', r == '\t', unicode.IsControl(r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			r = ' '
			if before != ' ' {
				b.WriteRune(r)
			}
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case r == '@' && strings.HasPrefix(s[i:], "@sha256:") && wordEnd(before):
			b.WriteRune(r) // a pinned image mentions nobody, and is copied from here
		case r == '@':
			b.WriteString("@" + zeroWidth)
		case r == '#':
			b.WriteString(`\#` + zeroWidth)
		case r == ':' && strings.HasPrefix(s[i:], "://"):
			b.WriteString(":" + zeroWidth)
		case r == '.' && endsWithFold(s[:i], "www"):
			b.WriteString("." + zeroWidth)
		case r == '-' && endsWithFold(s[:i], "gh"):
			b.WriteString("-" + zeroWidth)
		case strings.ContainsRune("\\`*_{}[]()|~!+=$", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case (r == '-' || r == '.') && lineStart(s[:i]) && (i+1 == len(s) || s[i+1] == ' ' || s[i+1] == '-'):
			// "- " and "1. " are lists, and "---" a rule, only where a line begins.
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		before = r
	}
	return strings.TrimSpace(b.String())
}

// hidden are characters that change how others are read, or are not seen.
func hidden(r rune) bool {
	switch {
	case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x2069, r == 0xfeff, r == 0x061c:
		return true
	case r >= 0xe0000 && r <= 0xe007f: // tags: invisible copies of ASCII
		return true
	}
	return false
}

func endsWithFold(s, end string) bool {
	return len(s) >= len(end) && strings.EqualFold(s[len(s)-len(end):], end)
}

func wordEnd(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// lineStart reports whether only what a list begins with stands before.
func lineStart(before string) bool { return strings.Trim(before, " 0123456789") == "" }

// code shows text as code where it is plain enough, else escaped.
func code(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/:@+=,…", r))
	}) < 0
	if plain {
		return "`" + s + "`"
	}
	return Escape(s)
}

// clip shortens text to n characters before it is escaped.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:n-1])) + "…"
}

// short is a pinned image with as much of the digest as people compare.
func short(repository, digest string) string { return repository + "@sha256:" + shortDigest(digest) }

// shortDigest is a digest without its algorithm, as people quote it.
func shortDigest(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	if len(hex) > 12 {
		return hex[:12]
	}
	return hex
}
