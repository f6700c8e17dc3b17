package sealed

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/landlock-lsm/go-landlock/landlock"
	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// seal takes from this process, for good, all that no job needs. What
// a kernel does not offer is named and left out.
func seal(s settings) Guards {
	runtime.LockOSThread() // what is set for this thread is set for all at the end
	defer runtime.UnlockOSThread()
	var g Guards
	g.bound(s)
	g.confine()
	g.filter()
	return g
}

func (g *Guards) missing(what string, err error) {
	g.Missing = append(g.Missing, fmt.Sprintf("%s: %v", what, err))
}

// bound sets the limits of resources.
func (g *Guards) bound(s settings) {
	// Where the memory of a whole pod runs out, a child is to go, not the agent.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	for _, r := range []struct {
		resource int
		most     uint64
	}{{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_FSIZE, 0}, {unix.RLIMIT_NOFILE, 32}} {
		if err := unix.Setrlimit(r.resource, &unix.Rlimit{Cur: r.most, Max: r.most}); err != nil {
			g.missing("resource limits", err)
		}
	}
	// Of data, not of address space: Go reserves far more of that than it uses.
	// What the program maps before it does anything is no job's.
	most := mappedData() + uint64(s.Memory)
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		g.missing("memory limit", err)
		return
	}
	g.Memory = true
}

// confine denies files, TCP and signals by Landlock.
func (g *Guards) confine() {
	version, err := llsyscall.LandlockGetABIVersion()
	if err == nil {
		err = landlock.V11.BestEffort().Restrict()
	}
	if err != nil {
		g.missing("landlock", err)
		return
	}
	g.Landlock = version
}

// filter denies system calls, in every thread.
func (g *Guards) filter() {
	policy, err := allowed(os.Getpid())
	if err == nil {
		err = seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy})
	}
	if err != nil {
		g.missing("seccomp", err)
		return
	}
	g.Seccomp = true
}

// mappedData is how much of this process counts for RLIMIT_DATA.
func mappedData() uint64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmData:"); ok {
			kib, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 128 << 20 // more than it is, where it cannot be told
}
