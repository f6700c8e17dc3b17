package github

import (
	"strings"
	"testing"

	gogithub "github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

func TestVerification(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	plain := w.push("main", map[string]string{"a.txt": "one\n"})
	signed, err := w.ann.Push(ctx, shop, git.Commit{
		Message: "two\n\n gpgsig none\n", Write: map[string]string{"a.txt": "two\n"},
		Sign: func([]byte) (string, error) {
			return "-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----\n", nil
		},
	})
	w.must(err)
	w.branchOff("bump", map[string]string{"b.txt": "1\n"})
	n, err := w.ann.OpenPull(ctx, shop, "bump", "main", "bump", "")
	w.must(err)
	merged, err := w.bob.Merge(ctx, shop, n, "merge")
	w.must(err)

	verification := func(sha string) *gogithub.SignatureVerification {
		t.Helper()
		one, _, err := w.bot.Git.GetCommit(ctx, "acme", "shop", sha)
		w.must(err)
		whole, _, err := w.bot.Repositories.GetCommit(ctx, "acme", "shop", sha, nil)
		w.must(err)
		if got := whole.GetCommit().GetVerification(); got.GetReason() != one.GetVerification().GetReason() || got.GetSignature() != one.GetVerification().GetSignature() {
			t.Errorf("the two APIs say %v and %v", got, one.GetVerification())
		}
		return one.GetVerification()
	}
	for sha, want := range map[string]string{plain: "unsigned", signed: "unknown_key", merged: "valid"} {
		if v := verification(sha); v.GetReason() != want || v.GetVerified() != (want == "valid") {
			t.Errorf("%s: %v, want %s", sha[:7], v, want)
		}
	}
	v := verification(signed)
	if !strings.HasPrefix(v.GetSignature(), "-----BEGIN SSH") || !strings.HasSuffix(v.GetSignature(), "SIGNATURE-----") {
		t.Errorf("the signature is %q", v.GetSignature())
	}
	if !strings.HasPrefix(v.GetPayload(), "tree ") || strings.Contains(v.GetPayload(), "BEGIN SSH") || !strings.Contains(v.GetPayload(), "\n\ntwo\n\n gpgsig none") {
		t.Errorf("the payload is %q", v.GetPayload())
	}
	for _, reason := range []string{"valid", "bad_email"} {
		w.must(w.SetVerification(shop, signed, reason))
		if v := verification(signed); v.GetReason() != reason || v.GetVerified() != (reason == "valid") {
			t.Errorf("told to be %s: %v", reason, v)
		}
	}
	list, _, err := w.bot.Repositories.ListCommits(ctx, "acme", "shop", nil)
	w.must(err)
	for _, one := range list {
		if one.GetSHA() == signed && one.GetCommit().GetVerification().GetReason() != "bad_email" {
			t.Errorf("a list says %v", one.GetCommit().GetVerification())
		}
	}
}
