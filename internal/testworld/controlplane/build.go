package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

const (
	binaryVariable = "PAWL_CONTROLPLANE"
	assetsVariable = "KUBEBUILDER_ASSETS"

	modulePath   = "github.com/pawl-dev/pawl"
	serverFolder = "internal/testworld/controlplane/server"
)

// Build returns the path of the control plane's binary, building it if this
// version of its sources was not built before. A first build downloads and
// compiles Kubernetes, which takes minutes; progress is what it says.
// Processes that ask at the same time wait for one build.
func Build(ctx context.Context, progress io.Writer) (string, error) {
	return build(ctx, progress, "server", ".")
}

// Kubectl returns the path of a kubectl of the control plane's version,
// building it when first asked for, or the one in KUBEBUILDER_ASSETS. Standard
// error says what a build does.
func Kubectl(ctx context.Context) (string, error) {
	if assets := os.Getenv(assetsVariable); assets != "" {
		if path := filepath.Join(assets, "kubectl"); exists(path) {
			return path, nil
		}
	}
	return build(ctx, os.Stderr, "kubectl", "k8s.io/kubernetes/cmd/kubectl")
}

func build(ctx context.Context, progress io.Writer, name, pkg string) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	userCache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder to keep the control plane's binary in: %w; set XDG_CACHE_HOME, or %s to a built one", err, binaryVariable)
	}
	cache := filepath.Join(userCache, "pawl", "controlplane")
	source, err := findSource()
	if err != nil {
		if newest := newestBuilt(cache, name); newest != "" {
			return newest, nil
		}
		return "", err
	}
	recipe, err := readRecipe(ctx, source, pkg == ".")
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, recipe.key)
	binary := filepath.Join(folder, name)
	if exists(binary) {
		now := time.Now()
		_ = os.Chtimes(folder, now, now) // in use: see prune
		return binary, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(folder, name+".lock")).Lock()
	if err != nil {
		return "", fmt.Errorf("lock the build of %s: %w", name, err)
	}
	defer unlock()
	if exists(binary) { // built while we waited
		return binary, nil
	}
	if err := compile(ctx, progress, recipe, source, pkg, binary); err != nil {
		return "", err
	}
	prune(cache)
	return binary, nil
}

// findSource finds the server's module by walking up from the working folder.
// The place of this file is no help: -trimpath removes it. Nor is the module
// cache, where a module comes without the modules inside of it.
func findSource() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && regexp.MustCompile(`(?m)^module `+regexp.QuoteMeta(modulePath)+`\s*$`).Match(content) {
			return filepath.Join(dir, filepath.FromSlash(serverFolder)), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the control plane's sources: %s is not inside a checkout of %s; run from one, or set %s to a built control plane", start, modulePath, binaryVariable)
		}
	}
}

// recipe is what decides the bytes of a build.
type recipe struct{ key, version, ldflags string }

// readRecipe reads the sources that count: all of the server's own, or for an
// upstream command the module's requirements alone.
func readRecipe(ctx context.Context, source string, own bool) (recipe, error) {
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return recipe{}, fmt.Errorf("read the control plane's go.mod: %w", err)
	}
	match := regexp.MustCompile(`k8s\.io/kubernetes v(\d+)\.(\d+)\.\S+`).FindStringSubmatch(string(mod))
	if match == nil {
		return recipe{}, fmt.Errorf("%s/go.mod does not require k8s.io/kubernetes", source)
	}
	version := strings.Fields(match[0])[1]
	r := recipe{version: version, ldflags: "-s -w"}
	// Without these Kubernetes calls itself v0.0.0-master, and kubectl too.
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		r.ldflags += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s", pkg, version, match[1], match[2])
	}
	toolchain, err := goCommand(ctx, source, "env", "GOVERSION", "GOOS", "GOARCH").Output()
	if err != nil {
		return recipe{}, fmt.Errorf("ask the go command for its version (is Go installed and on PATH?): %w", withStderr(err))
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n", toolchain, r.ldflags)
	err = filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !decidesBytes(entry.Name(), own) {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(source, path)
		fmt.Fprintf(sum, "%s %x\n", filepath.ToSlash(name), sha256.Sum256(content))
		return err
	})
	if err != nil {
		return recipe{}, fmt.Errorf("read the control plane's sources: %w", err)
	}
	r.key = fmt.Sprintf("%x", sum.Sum(nil))
	return r, nil
}

// decidesBytes says whether a file is one that the build reads.
func decidesBytes(name string, own bool) bool {
	switch filepath.Ext(name) {
	case ".go":
		return own && !strings.HasSuffix(name, "_test.go")
	case ".yaml":
		return own
	case ".mod", ".sum":
		return true
	}
	return false
}

// compile builds into a part file and renames it, so that a build that was cut
// off leaves no binary.
func compile(ctx context.Context, progress io.Writer, r recipe, source, pkg, binary string) error {
	name := filepath.Base(binary)
	fmt.Fprintf(progress, "building %s of Kubernetes %s for the test world; the first time this takes minutes, later it is found in %s\n", name, r.version, filepath.Dir(binary))
	part := binary + ".part"
	defer os.Remove(part)
	command := goCommand(ctx, source, "build", "-v", "-trimpath", "-ldflags="+r.ldflags, "-o", part, pkg)
	output, err := command.StderrPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := command.Start(); err != nil {
		return fmt.Errorf("build %s: %w; is Go installed and on PATH?", name, err)
	}
	// With -v the go command names each package that it compiles.
	var compiled atomic.Int64
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		ticker := time.NewTicker(15 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-stopped:
				return
			case <-ticker.C:
				fmt.Fprintf(progress, "building %s: %d packages compiled, %s\n", name, compiled.Load(), time.Since(began).Round(time.Second))
			}
		}
	}()
	var said bytes.Buffer
	for lines := bufio.NewScanner(output); lines.Scan(); {
		compiled.Add(1)
		fmt.Fprintln(&said, lines.Text())
	}
	if err := command.Wait(); err != nil {
		return fmt.Errorf("build %s in %s: %w:\n%s", name, source, err, lastOf(said.String()))
	}
	fmt.Fprintf(progress, "built %s in %s\n", name, time.Since(began).Round(time.Second))
	return os.Rename(part, binary)
}

// goCommand runs go for the host alone, whatever the caller builds for.
func goCommand(ctx context.Context, dir string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = dir
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS=", "GOARCH=", "GOWORK=off")
	return command
}

// unusedFor is after how long without use a built version is removed, which
// is what the go command does with its own cache.
const unusedFor = 5 * 24 * time.Hour

func prune(cache string) {
	entries, _ := os.ReadDir(cache)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > unusedFor {
			_ = os.RemoveAll(filepath.Join(cache, entry.Name()))
		}
	}
}

// newestBuilt is for an installed pawl, far from any checkout.
func newestBuilt(cache, name string) string {
	found, _ := filepath.Glob(filepath.Join(cache, "*", name))
	newest, at := "", time.Time{}
	for _, path := range found {
		if info, err := os.Stat(filepath.Dir(path)); err == nil && info.ModTime().After(at) {
			newest, at = path, info.ModTime()
		}
	}
	return newest
}

func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func lastOf(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
