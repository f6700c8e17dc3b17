package main

import (
	"fmt"
	"strings"
	"testing"
)

// crowd is a verification of many images, of which some are refused.
func crowd(images, refused, warnings int) verification {
	v := verification{Target: "production/web", Verdict: isRefused}
	for n := range images {
		i := verifiedImage{Repository: fmt.Sprintf("ghcr.io/acme/app-%03d", n), Digest: "sha256:" + strings.Repeat("3f", 32), Verdict: isVerified}
		if n >= images-refused {
			i.Verdict = isRefused
		}
		v.Images = append(v.Images, i)
	}
	p := policyVerdict{Policy: "teams", Verdict: warns}
	for n := range warnings {
		p.Warned = append(p.Warned, policyMessage{Text: fmt.Sprintf("warning %d", n)})
	}
	v.Policies = append(v.Policies, p)
	return v
}

func TestALargeReleaseStaysReadable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		images, refused, warnings int
		lines                     int
		says                      []string
	}{
		{images: 2, refused: 1, warnings: 1, lines: 5, says: []string{"policies: teams warned\nwarning: teams: warning 0\n"}},
		{images: 50, refused: 50, lines: 52},
		{images: 51, lines: 53, says: []string{"and 1 more image, all of them verified; -o json has all"}},
		{images: 500, refused: 60, lines: 53, says: []string{"and 450 more images, 10 of them refused; -o json has all"}},
		{images: 60, refused: 60, lines: 53, says: []string{"and 10 more images, all of them refused"}},
		{images: 1, warnings: 100, lines: 24, says: []string{"and 80 more warnings; -o json has all"}},
	} {
		var out strings.Builder
		if err := crowd(tt.images, tt.refused, tt.warnings).write(&out); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if n := strings.Count(text, "\n"); n != tt.lines {
			t.Errorf("%+v: %d lines:\n%s", tt, n, text)
		}
		for _, say := range tt.says {
			if !strings.Contains(text, say) {
				t.Errorf("%+v does not say %q:\n%s", tt, say, text)
			}
		}
		rows := strings.Split(text, "\n")[1:]
		if tt.refused > 0 && !strings.HasSuffix(rows[0], string(isRefused)) {
			t.Errorf("%+v: what is refused is not at the top: %s", tt, rows[0])
		}
	}
}

// catalogue 29
func TestACellOfTheTableIsOneShortLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                  "—",
		"release, backup":   "release, backup",
		"a\nb\tc":           "a b c",
		"\x1b[2Jrelease":    "\uFFFD[2Jrelease",
		"rtl\u202edesrever": "rtl\uFFFDdesrever",
		"https://github.com/acme/web/.github/workflows/release.yml@refs/heads/main": "….com/acme/web/.github/workflows/release.yml@refs/heads/main",
	} {
		got := cell(text)
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := listed([]string{"d", "a", "b", "a", "c", "e"}); got != "a, b, c +2" {
		t.Errorf("got %q", got)
	}
}
