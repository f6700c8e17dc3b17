package gogit_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/gitsync/gogit"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// catalogue 51, 62: wherever an answer is damaged, there is the whole revision
// or an error, and afterwards everything is as before.
func TestADamagedAnswerIsNeverHalfRead(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	first := commit(t, r, git.Commit{Write: files("a.yaml", "1\n", "same.yaml", "same\n")})
	second := commit(t, r, git.Commit{Write: files("a.yaml", strings.Repeat("changed\n", 20), "b.yaml", "b\n")})
	whole := func(rev gitsync.Revision) bool {
		a, _ := rev.Tree.Read("a.yaml")
		b, _ := rev.Tree.Read("b.yaml")
		same, _ := rev.Tree.Read("same.yaml")
		return rev.Commit == second && string(a) == strings.Repeat("changed\n", 20) && string(b) == "b\n" && string(same) == "same\n"
	}
	server.ForgetRequests()
	fetch(t, mirror(t, options(r)))
	length := server.Requests()[1].Bytes
	if length < 300 {
		t.Fatalf("the answer has %d bytes", length)
	}
	tried, noticed := 0, 0
	for at := int64(1); at <= length; at += 13 {
		heal := server.Fail(git.Match{Service: "upload-pack", Exact: true}, git.Fault{CorruptAt: at})
		tried++
		m := mirror(t, options(r))
		if rev, err := m.Fetch(t.Context()); err != nil {
			noticed++
		} else if !whole(rev) {
			t.Errorf("byte %d: read %+v", at, rev)
		}
		if then, err := m.At(t.Context(), first); err == nil {
			if a, _ := then.Tree.Read("a.yaml"); then.Commit != first || string(a) != "1\n" {
				t.Errorf("byte %d: read %+v", at, then)
			}
		}
		if line, err := m.History(t.Context(), second, first); err == nil && (!line.Ancestor || len(line.Commits) != 1 || line.Commits[0].Commit != second) {
			t.Errorf("byte %d: %+v", at, line)
		}
		heal()
		if rev := fetch(t, m); !whole(rev) {
			t.Errorf("byte %d, healed: read %+v", at, rev)
		}
	}
	if noticed < tried*3/4 { // some bytes say nothing, as those of progress
		t.Errorf("%d of %d damaged answers were noticed", noticed, tried)
	}
}

// catalogue 62: there is no clone on a disk that could be full, read-only or
// damaged. The same binary is run again where it cannot write a byte to any
// file, and where what it could make a file in does not exist or stays empty.
func TestNothingIsWrittenToDisk(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	first := commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	commit(t, r, git.Commit{Write: files("a.yaml", "2\n", "b.yaml", random(t))})
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReadWithoutADisk$", "-test.count=1")
	cmd.Dir = dir
	nowhere := filepath.Join(dir, "nowhere")
	cmd.Env = []string{"HOME=" + nowhere, "TMPDIR=" + nowhere, "XDG_CONFIG_HOME=" + nowhere, "XDG_CACHE_HOME=" + nowhere,
		withoutDisk + "=" + r.URL(), withoutDisk + "_COMMIT=" + string(first)}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("read a.yaml")) {
		t.Errorf("%v\n%s", err, out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

const withoutDisk = "PAWL_TEST_READ_WITHOUT_A_DISK"

// TestReadWithoutADisk is what TestNothingIsWrittenToDisk runs elsewhere; by
// itself it has nothing to do.
func TestReadWithoutADisk(t *testing.T) {
	url := os.Getenv(withoutDisk)
	if url == "" {
		return
	}
	forbidFiles(t)
	m := mirror(t, gogit.Options{URL: url, Branch: "main", Credentials: func(context.Context) (string, string, error) { return "agent", "planted", nil }})
	rev := fetch(t, m)
	if _, err := m.At(t.Context(), gitsync.Commit(os.Getenv(withoutDisk+"_COMMIT"))); err != nil {
		t.Error(err)
	}
	if line := history(t, m, rev.Commit, gitsync.Commit(os.Getenv(withoutDisk+"_COMMIT"))); !line.Ancestor {
		t.Error(line)
	}
	if content(t, rev, "a.yaml") == "2\n" && !t.Failed() {
		fmt.Println("read a.yaml")
	}
}

// catalogue 51: names and sizes of the server's choice.
func TestAServerThatOffersNonsenseIsBoundedAndRefused(t *testing.T) {
	t.Parallel()
	const id = "8d2e1a7c0ffee00000000000000000000000beef"
	packet := func(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }
	start := packet("# service=git-upload-pack\n") + "0000"
	for name, c := range map[string]struct {
		refs, pack func(http.ResponseWriter)
		is         func(error) bool
	}{
		"refs without an end": {refs: func(w http.ResponseWriter) {
			fmt.Fprint(w, start, packet(id+" refs/heads/x\x00side-band-64k shallow\n"))
			for i := 0; ; i++ {
				if _, err := fmt.Fprint(w, packet(fmt.Sprintf("%s refs/heads/x-%d\n", id, i))); err != nil {
					return
				}
			}
		}, is: is[*gitsync.TooLarge]},
		"refs with names of paths": {refs: func(w http.ResponseWriter) {
			fmt.Fprint(w, start, packet(id+" refs/heads/../../main\x00side-band-64k shallow\n"), packet(id+" refs/heads/main/../main\n"), packet(id+" ../refs/heads/main\n"), packet(id+" refs/heads/MAIN\n"), "0000")
		}, is: is[*gitsync.BranchGone]},
		"no refs at all": {refs: func(w http.ResponseWriter) { fmt.Fprint(w, "<html>hello</html>") }},
		"a pack without an end": {pack: func(w http.ResponseWriter) {
			fmt.Fprint(w, packet("shallow "+id+"\n"), "0000", packet("NAK\n"))
			for {
				if _, err := fmt.Fprint(w, packet("\x01"+strings.Repeat("PACK", 1000))); err != nil {
					return
				}
			}
		}, is: is[*gitsync.TooLarge]},
		"a pack of another commit": {pack: func(w http.ResponseWriter) {
			fmt.Fprint(w, packet("shallow "+id+"\n"), "0000", packet("NAK\n"), packet("\x01PACK\x00\x00\x00\x02\x00\x00\x00\x00\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e"), "0000")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case !strings.HasSuffix(r.URL.Path, "/info/refs"):
					c.pack(w)
				case c.refs != nil:
					c.refs(w)
				default:
					fmt.Fprint(w, start, packet(id+" refs/heads/main\x00side-band-64k shallow\n"), "0000")
				}
			}))
			t.Cleanup(server.Close)
			m := mirror(t, gogit.Options{URL: server.URL + "/a/b.git", Branch: "main", Limits: gogit.Limits{Refs: 1 << 20, Transfer: 1 << 20}})
			rev, err := m.Fetch(t.Context())
			if err == nil || rev.Commit != "" || c.is != nil && !c.is(err) {
				t.Errorf("%+v, %v", rev, err)
			}
		})
	}
}

// catalogue 53
func TestACertificateThatIsExpiredOrOfAnotherHostIsRefused(t *testing.T) {
	t.Parallel()
	year := 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		host string
		end  time.Duration
		is   func(error) bool
	}{
		"good":         {"127.0.0.1", year, func(err error) bool { return is[*gitsync.RepositoryGone](err) }},
		"expired":      {"127.0.0.1", -year, func(err error) bool { return is[x509.CertificateInvalidError](err) }},
		"another host": {"127.0.0.2", year, func(err error) bool { return is[x509.HostnameError](err) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * year), NotAfter: time.Now().Add(c.end), IsCA: true, BasicConstraintsValid: true}
			template.IPAddresses = append(template.IPAddresses, []byte{127, 0, 0, c.host[len(c.host)-1] - '0'})
			raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
			if err != nil {
				t.Fatal(err)
			}
			asked := false
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = true
				http.NotFound(w, r)
			}))
			server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}
			server.StartTLS()
			t.Cleanup(server.Close)
			m := mirror(t, gogit.Options{URL: server.URL + "/a/b.git", Branch: "main", CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})})
			if _, err := m.Fetch(t.Context()); !c.is(err) || asked != (name == "good") {
				t.Errorf("%v; asked: %v", err, asked)
			}
		})
	}
}

// catalogue 57
func TestWhatIsOnOtherBranchesCostsNothing(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	head := commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	for range 3 {
		commit(t, r, git.Commit{Branch: "other", Write: files("large", random(t)), From: string(head)})
	}
	run(t, r, "", "-c", "user.name=ann", "-c", "user.email=ann@example.org", "tag", "-m", "large too", "v1", "other")
	o := options(r)
	o.Limits.Transfer = 16 << 10
	m := mirror(t, o)
	fetch(t, m)
	commit(t, r, git.Commit{Write: files("a.yaml", "2\n")})
	server.ForgetRequests()
	if rev := fetch(t, m); content(t, rev, "a.yaml") != "2\n" {
		t.Errorf("%+v", rev)
	}
	for _, q := range server.Requests() {
		if q.Bytes > 4<<10 {
			t.Errorf("%+v", q)
		}
	}
}

// catalogue 57
func TestAHundredThousandRefsAreReadPast(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	head := commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	var packed bytes.Buffer
	packed.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
	for i := range 100_000 {
		fmt.Fprintf(&packed, "%s refs/heads/x-%06d\n", head, i)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "packed-refs"), packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if rev := fetch(t, mirror(t, options(r))); rev.Commit != head {
		t.Errorf("%+v", rev)
	}
	o := options(r)
	o.Limits.Refs = 1 << 20
	if _, err := mirror(t, o).Fetch(t.Context()); !is[*gitsync.TooLarge](err) || !strings.Contains(err.Error(), "1 MiB of branches and tags") {
		t.Error(err)
	}
}

// catalogue 59, and 58: a branch is what is called so under refs/heads.
func TestABranchIsFoundByItsWholeName(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	main := commit(t, r, git.Commit{Write: files("a.yaml", "main\n")})
	touched := filepath.Join(t.TempDir(), "touched")
	names := []string{"HEAD", string(main), string(main)[:7], "--upload-pack=touch${IFS}" + touched, "-", "main^", "refs/heads/main", "tags/main", "a b"}
	for _, name := range names {
		o := options(r)
		o.Branch = name
		m := mirror(t, o)
		if rev, err := m.Fetch(t.Context()); !is[*gitsync.BranchGone](err) {
			t.Errorf("%q, where there is none: %+v, %v", name, rev, err)
		}
		if strings.ContainsAny(name, "^ ${") {
			continue // git has no such branches
		}
		want := commit(t, r, git.Commit{Branch: name, Write: files("a.yaml", name)})
		if rev := fetch(t, m); rev.Commit != want || content(t, rev, "a.yaml") != name {
			t.Errorf("%q: %+v", name, rev)
		}
	}
	other := commit(t, r, git.Commit{Branch: "other", Write: files("a.yaml", "tagged\n")})
	run(t, r, "", "update-ref", "refs/tags/main", string(other))
	if rev := fetch(t, mirror(t, options(r))); rev.Commit != main {
		t.Errorf("beside a tag of its name: %+v", rev)
	}
	if _, err := os.Stat(touched); !errors.Is(err, os.ErrNotExist) {
		t.Error("a command was run")
	}
}

// catalogue 54: of a server that lacks history itself nothing can be proven.
func TestAServerWithoutItsHistoryIsNotBelieved(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	base := commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	middle := commit(t, r, git.Commit{Write: files("a.yaml", "2\n")})
	head := commit(t, r, git.Commit{Write: files("a.yaml", "3\n")})
	if err := os.WriteFile(filepath.Join(r.Dir, "shallow"), []byte(middle+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if line, err := mirror(t, options(r)).History(t.Context(), head, base); err == nil || !strings.Contains(err.Error(), "does not have the whole history") {
		t.Errorf("%+v, %v", line, err)
	}
}

// Every call that failed, hung or was given up has let go of everything.
func TestNoGoroutineIsLeftBehind(t *testing.T) {
	server, r := world(t)
	first := commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	head := commit(t, r, git.Commit{Write: files("a.yaml", random(t))})
	o := options(r)
	o.Timeout = 20 * time.Millisecond
	calls := func(m *gogit.Mirror) {
		_, _ = m.Fetch(t.Context())
		_, _ = m.At(t.Context(), first)
		_, _ = m.History(t.Context(), head, first)
	}
	calls(mirror(t, options(r)))
	http.DefaultClient.CloseIdleConnections()
	before := runtime.NumGoroutine()
	for _, fault := range []git.Fault{{Hang: true}, {TruncateAfter: 30}, {Status: 500}, {CorruptAt: 40}} {
		heal := server.Fail(git.Match{}, fault)
		for range 5 {
			calls(mirror(t, o))
		}
		heal()
	}
	// Some connections stay open for the next call, two goroutines each on either
	// side; 60 calls that leaked would be far more.
	wait(t, func() bool { return runtime.NumGoroutine() < before+45 })
}
