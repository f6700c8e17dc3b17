package gogit_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/gitsync/gogit"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// later is after all of testdata/signed was made.
var later = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// fixture is a commit that git made, signed by the real gpg or ssh-keygen. Its
// tree holds one pawl.yaml of "kind: Pipeline\n".
type fixture struct{ key, commit, id string }

func fixtures(t *testing.T) map[string]fixture {
	t.Helper()
	paths, err := filepath.Glob("testdata/signed/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no fixtures", err)
	}
	all := map[string]fixture{}
	for _, p := range paths {
		archive, err := txtar.ParseFile(p)
		if err != nil {
			t.Fatal(err)
		}
		var f fixture
		for _, file := range archive.Files {
			switch file.Name {
			case "key":
				f.key = string(file.Data)
			case "commit":
				f.commit = string(file.Data)
			case "id":
				f.id = strings.TrimSpace(string(file.Data))
			}
		}
		all[strings.TrimSuffix(filepath.Base(p), ".txtar")] = f
	}
	return all
}

// push stores a commit object as it is and moves main to it.
func push(t *testing.T, r *git.Repository, raw string) gitsync.Commit {
	t.Helper()
	blob := run(t, r, "kind: Pipeline\n", "hash-object", "-w", "--stdin")
	run(t, r, "100644 blob "+blob+"\tpawl.yaml\n", "mktree")
	sha, err := r.Write(t.Context(), "commit", raw)
	if err == nil {
		err = r.Push(t.Context(), "ann", "main", sha)
	}
	if err != nil {
		t.Fatal(err)
	}
	return gitsync.Commit(sha)
}

// catalogue 58: what git, gpg and ssh-keygen made is read and judged as it is.
func TestSignaturesOfTheRealToolsAreJudged(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	m := mirror(t, options(r))
	want := map[string]string{
		"openpgp-ed":      "ada OpenPGP 6823F5766690368241CEAECD5BFC035A961B7FC2",
		"openpgp-nist":    "ada OpenPGP 6A673C2D29E56E48C760CF471A398F330BC14EE4",
		"openpgp-rsa":     "ada OpenPGP 4589424BB970CB06770D18454BA129C4D13DAEEA", // by a subkey
		"openpgp-expired": "KeyExpired",
		"openpgp-revoked": "KeyRevoked",
		"openpgp-sha1":    "WeakSignature",
		"openpgp-dsa":     "is of an outdated kind",
		"openpgp-small":   "is an RSA key of 1024 bits",
		"ssh-ed25519":     "ada SSH SHA256:tcgXTKm9W8s6v7mkrXuUPF/UANPOFv9QvKquyHdoWCc",
		"ssh-ecdsa":       "ada SSH SHA256:TahP+e0kVOfhziCQc3ICDHU3pMXSqMMRIag5/bl2fe4",
		"ssh-rsa":         "ada SSH SHA256:pMDFiApxiDdNVa4Ld8OAPZM6rgJnFhkfIm7X//NdUPs",
		"ssh-dsa":         "the kind ssh-dss is outdated",
	}
	all := fixtures(t)
	if len(all) != len(want) {
		t.Errorf("%d fixtures, %d expectations", len(all), len(want))
	}
	for name, f := range all {
		id := push(t, r, f.commit)
		rev := fetch(t, m)
		if string(id) != f.id || rev.Commit != id || content(t, rev, "pawl.yaml") != "kind: Pipeline\n" {
			t.Errorf("%s: read %s, stored as %s; git called it %s", name, rev.Commit, id, f.id)
		}
		signers, err := gitsync.NewSigners([]gitsync.Signer{{Name: "ada", Key: f.key}})
		if err != nil {
			if !strings.Contains(err.Error(), want[name]) || want[name] == "" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got := verdict(signers, rev.Signature, later); got != want[name] {
			t.Errorf("%s: %s; want %s", name, got, want[name])
		}
		var refused *gitsync.SignatureRefused
		if _, err := (gitsync.Signers{}).Verify(rev.Signature, later); !errors.As(err, &refused) || refused.Problem != gitsync.UnknownKey || len(refused.Key) < 16 {
			t.Errorf("%s, to somebody who knows no keys: %v", name, err)
		}
	}
}

// verdict is what Verify says, on a line.
func verdict(s gitsync.Signers, sig gitsync.Signature, now time.Time) string {
	by, err := s.Verify(sig, now)
	var refused *gitsync.SignatureRefused
	switch {
	case errors.As(err, &refused):
		return string(refused.Problem)
	case err != nil:
		return err.Error()
	}
	return strings.Join([]string{by.Signer, string(by.Kind), by.Key}, " ")
}

// The same commit with one thing changed, its signature kept.
func TestASignatureOfAnotherCommitDoesNotCount(t *testing.T) {
	t.Parallel()
	all := fixtures(t)
	_, r := world(t)
	m := mirror(t, options(r))
	first := commit(t, r, git.Commit{Write: files("a", "1")})
	for _, name := range []string{"openpgp-ed", "ssh-ed25519"} {
		f := all[name]
		signers, err := gitsync.NewSigners([]gitsync.Signer{{Name: "ada", Key: f.key}})
		if err != nil {
			t.Fatal(err)
		}
		otherTree := run(t, r, "", "rev-parse", string(first)+"^{tree}")
		ownTree := strings.Fields(f.commit)[1]
		for change, raw := range map[string]string{
			"another message":  strings.Replace(f.commit, "Signed with", "signed with", 1),
			"a longer message": f.commit + "\n",
			"another tree":     strings.Replace(f.commit, ownTree, otherTree, 1),
			"another author":   strings.Replace(f.commit, "author Ada", "author Eve", 1),
			"another date":     strings.Replace(f.commit, "+0000\ncommitter", "+0100\ncommitter", 1),
			"a parent":         strings.Replace(f.commit, "\nauthor", "\nparent "+string(first)+"\nauthor", 1),
			"a header":         strings.Replace(f.commit, "\ngpgsig", "\nx-note y\ngpgsig", 1),
		} {
			if raw == f.commit {
				t.Fatalf("%s: nothing changed", change)
			}
			push(t, r, raw)
			if got := verdict(signers, fetch(t, m).Signature, later); got != string(gitsync.WrongContent) {
				t.Errorf("%s, %s: %s", name, change, got)
			}
		}
	}
}

// The place of the signature is not signed, and what git takes for a parent
// depends on it.
func TestASignatureThatHidesHeadersIsRefused(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	first := commit(t, r, git.Commit{Write: files("a", "1")})
	key, err := git.NewSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	second := commit(t, r, git.Commit{Write: files("a", "2"), Sign: key.Sign})
	raw := run(t, r, "", "cat-file", "commit", string(second)) + "\n"
	start, end := strings.Index(raw, "gpgsig "), strings.Index(raw, "\n\n")+1
	signature := raw[start:end]
	unsigned := raw[:start] + raw[end:]
	moved := strings.Replace(unsigned, "parent "+string(first), signature+"parent "+string(first), 1)
	push(t, r, moved)
	if rev, err := mirror(t, options(r)).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "changes what the commit says") {
		t.Errorf("%+v, %v", rev, err)
	}
}

// catalogue 58
func TestEachCommitOfTheLineCanBeJudged(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	ssh, err := git.NewSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	gpg, err := git.NewOpenPGPKey("bob")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := git.NewSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	signers, err := gitsync.NewSigners([]gitsync.Signer{{Name: "ada", Key: ssh.Public}, {Name: "bob", Key: gpg.Public}})
	if err != nil {
		t.Fatal(err)
	}
	base := commit(t, r, git.Commit{Write: files("a", "0")})
	seen := mirror(t, options(r))
	fetch(t, seen)
	commit(t, r, git.Commit{Branch: "side", From: string(base), Write: files("b", "unsigned, and merged by somebody who signs")})
	commit(t, r, git.Commit{Write: files("a", "1"), Sign: gpg.Sign})
	commit(t, r, git.Commit{Write: files("a", "2")})
	commit(t, r, git.Commit{Write: files("a", "3"), Sign: stranger.Sign})
	commit(t, r, git.Commit{Message: "merge", Write: files("b", "b"), Merge: "side", Sign: ssh.Sign})
	head := commit(t, r, git.Commit{Write: files("a", "4"), Sign: ssh.Sign})
	rev := fetch(t, seen)
	if got := verdict(signers, rev.Signature, time.Now()); got != "ada SSH "+ssh.Fingerprint {
		t.Errorf("the head: %s", got)
	}
	want := []string{"ada SSH " + ssh.Fingerprint, "ada SSH " + ssh.Fingerprint, "UnknownKey", "Unsigned", "bob OpenPGP " + gpg.Fingerprint}
	for name, m := range map[string]*gogit.Mirror{"seen": seen, "asked": mirror(t, options(r))} {
		line := history(t, m, head, base)
		if !line.Ancestor || len(line.Commits) != len(want) {
			t.Fatalf("%s: %+v", name, line)
		}
		for i, c := range line.Commits {
			if got := verdict(signers, c.Signature, time.Now()); got != want[i] {
				t.Errorf("%s: %s: %s; want %s", name, c.Subject, got, want[i])
			}
		}
	}
	if then, err := seen.At(t.Context(), rev.Parents[0]); err != nil || verdict(signers, then.Signature, time.Now()) != want[1] {
		t.Errorf("the merge by itself: %+v, %v", then, err)
	}
}
