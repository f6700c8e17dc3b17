package promote

import (
	"regexp"
	"strings"
	"testing"
)

// catalogue 29
func TestEscape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain text, 1.9.0":          "plain text, 1.9.0",
		"a|b":                        `a\|b`,
		"web@sha256:3f1c":            "web@sha256:3f1c",
		"@sha256:3f1c":               "@&#8203;sha256:3f1c",
		"-x 1.8":                     "-x 1.8",
		"---":                        `\---`,
		"@acme/sre":                  "@&#8203;acme/sre",
		"fixes #1":                   `fixes \#&#8203;1`,
		"GH-1 gh-2 high-3":           "GH-&#8203;1 gh-&#8203;2 high-&#8203;3",
		"https://evil.example/x":     "https:&#8203;//evil.example/x",
		"see www.evil.example":       "see www.&#8203;evil.example",
		"<img src=x>&amp;":           `&lt;img src\=x&gt;&amp;amp;`,
		"[x](y)":                     `\[x\]\(y\)`,
		"`a` **b** _c_ ~d~ $e$":      "\\`a\\` \\*\\*b\\*\\* \\_c\\_ \\~d\\~ \\$e\\$",
		"one\r\n\r\n# two\t|":        `one \#&#8203; two \|`,
		"\x1b[31mred\x00":            `\[31mred`,
		"- item":                     `\- item`,
		"1. item":                    `1\. item`,
		"a\u202eb\u200bc\ufeff":      "a�b�c�",
		"bad \xff utf8":              "bad � utf8",
		"日本 grüße":                   "日本 grüße",
		"<!-- pawl:promotion {} -->": `&lt;\!-- pawl:promotion \{\} --&gt;`,
		"back\\slash":                `back\\slash`,
		"":                           "",
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q)\n got %q\nwant %q", in, got, want)
		}
	}
}

// FuzzEscape: nothing that GitHub would act on is left in the text.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"@a", "#1", "GH-1", "http://x", "<b>", "`", "\\`", "a\nb", "-->", "\\@x", "\\\\#1"} {
		f.Add(s)
	}
	acts := regexp.MustCompile(`(?i)[<>\n\r]|(?:^|[^a-z0-9])@[a-z0-9]|#\d|gh-\d|://|www\.[a-z]`)
	f.Fuzz(func(t *testing.T, s string) {
		got := Escape(s)
		plain := strings.ReplaceAll(got, zeroWidth, "\u200b")
		plain = strings.NewReplacer("&lt;", "", "&gt;", "", "&amp;", "").Replace(plain)
		if m := acts.FindString(plain); m != "" {
			t.Errorf("%q still acts: %q in %q", s, m, got)
		}
		// Every special character is behind an odd number of backslashes.
		slashes := 0
		for _, r := range plain {
			if r == '\\' {
				slashes++
				continue
			}
			if strings.ContainsRune("`*_{}[]()|~!", r) && slashes%2 == 0 {
				t.Errorf("%q is not escaped in %q", r, got)
			}
			slashes = 0
		}
	})
}
