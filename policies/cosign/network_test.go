package cosign_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// Nobody but the image's registry is asked: no transparency log, no TUF
// mirror. The tests of keyless signatures and attestations run once more in a
// process whose every request to anything but this machine would go through a
// proxy, which answers none and writes them down; no home folder, no cache.
// catalogue 40
func TestNobodyButTheRegistryIsAsked(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.Host+r.URL.String())
		http.Error(w, "there is no network", http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	run := func(tests string) (string, error) {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+tests, "-test.count=1", "-test.v")
		again.Env = []string{
			"HTTP_PROXY=" + proxy.URL, "HTTPS_PROXY=" + proxy.URL, "http_proxy=" + proxy.URL, "https_proxy=" + proxy.URL,
			"HOME=" + t.TempDir(), "TUF_ROOT=" + t.TempDir(), "TMPDIR=" + t.TempDir(),
		}
		out, err := again.CombinedOutput()
		return string(out), err
	}
	out, err := run("^(TestKeylessSignaturesAreVerified|TestForgedKeylessSignaturesAreRefused|TestAttestationsAreFound|TestATrustRootThatCannotBeUsedLetsNothingThrough)$")
	if err != nil || !strings.Contains(out, "--- PASS: TestKeylessSignaturesAreVerified/bundle") {
		t.Fatalf("%v\n%s", err, out)
	}
	mu.Lock()
	if len(asked) > 0 {
		t.Errorf("somebody else was asked: %q", asked)
	}
	mu.Unlock()
	// The proxy would have seen it.
	if out, err := run("^TestSomebodyElseIsAsked$"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 1 || !strings.Contains(asked[0], "rekor.sigstore.dev") {
		t.Errorf("the proxy saw %q", asked)
	}
}

// It asks a transparency log when it is run by the test above, and nobody else.
func TestSomebodyElseIsAsked(t *testing.T) {
	t.Parallel()
	if os.Getenv("HTTPS_PROXY") == "" || os.Getenv("TUF_ROOT") == "" {
		return
	}
	resp, err := http.Get("https://rekor.sigstore.dev/api/v1/log")
	if err == nil {
		resp.Body.Close()
	}
}

// catalogue 39: what the libraries got wrong up to these versions is not
// caught here.
func TestTheLibrariesAreOfTheseVersionsAtLeast(t *testing.T) {
	t.Parallel()
	const path = "../../go.mod" // a test's binary does not say what it is made of
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := modfile.Parse(path, raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	floors := map[string]string{
		"github.com/sigstore/cosign/v2":   "v2.6.5", // CVE-2022-23649, CVE-2022-36056, CVE-2026-22703, GHSA-fx35-mq7g-6g98
		"github.com/sigstore/sigstore-go": "v1.1.4",
		"github.com/sigstore/rekor":       "v1.4.3",
	}
	for _, r := range file.Require {
		if floor, ok := floors[r.Mod.Path]; ok {
			delete(floors, r.Mod.Path)
			if semver.Compare(r.Mod.Version, floor) < 0 {
				t.Errorf("%s is %s, and at least %s is needed", r.Mod.Path, r.Mod.Version, floor)
			}
		}
	}
	for _, r := range file.Replace {
		t.Errorf("%s is replaced by %s", r.Old.Path, r.New.Path)
	}
	if len(floors) > 0 {
		t.Errorf("not required: %v", floors)
	}
}
