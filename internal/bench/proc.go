package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld"
)

// usage is what a process has used so far, by the kernel's accounting.
type usage struct {
	cpu      time.Duration
	resident int64 // bytes
	private  int64 // bytes that are no mapped files
	peak     int64 // bytes that were resident at most
}

// ticksPerSecond is USER_HZ, 100 on every Linux that Go runs on (man 5 proc).
const ticksPerSecond = 100

func usageOf(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The second field is the command in parentheses and may hold spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return usage{}, fmt.Errorf("read /proc/%d/stat: %q", pid, stat)
	}
	u := usage{cpu: time.Duration(user+system) * time.Second / ticksPerSecond}
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, err
	}
	defer status.Close()
	lines := bufio.NewScanner(status)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			u.resident = kib << 10
		case "RssAnon":
			u.private = kib << 10
		case "VmHWM":
			u.peak = kib << 10
		}
	}
	return u, lines.Err()
}

// machine says where the figures were measured.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d × %s, Linux %s, %s", runtime.NumCPU(), model, strings.TrimSpace(string(kernel)), runtime.Version())
}

// heapOf is what the agent's heap holds after its last collection, in bytes.
func heapOf(ctx context.Context, shop *testworld.Shop) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+shop.Internal+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "go_gc_heap_live_bytes "); ok {
			live, err := strconv.ParseFloat(text, 64)
			return int64(live), err
		}
	}
	return 0, errors.Join(errors.New("the agent does not tell its heap"), lines.Err())
}
