package sealed

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// kept is what one job leaves behind in its child.
var kept []byte

// most is as much as one job can have where nothing was left behind.
func most() []byte {
	b := make([]byte, enough/3*2)
	for i := range b {
		b[i] = 1
	}
	return b
}

// probes run inside of a child. What they are refused is their error; none
// stands for what must not be.
var probes = map[string]func(probe) error{
	"spin": func(probe) error {
		for {
			runtime.KeepAlive(0)
		}
	},
	"eat": func(probe) error {
		var kept [][]byte
		for {
			piece := make([]byte, 1<<20)
			for i := range piece {
				piece[i] = 1
			}
			kept = append(kept, piece)
			runtime.KeepAlive(kept)
		}
	},
	"keep": func(probe) error { kept = most(); return nil },
	"need": func(probe) error { runtime.KeepAlive(most()); return nil },
	"recurse": func(probe) error {
		var deeper func(n int) int
		deeper = func(n int) int { return deeper(n+1) + 1 }
		return fmt.Errorf("%d", deeper(0))
	},
	"panic": func(probe) error { panic("hunter2 was in the input") },
	"chatter": func(probe) error {
		for range 10_000 {
			fmt.Fprintln(os.Stderr, "# Warning: 'vars' is deprecated: hunter2")
		}
		return nil
	},
	"flood":   func(j probe) error { return j.parent.Send(kindFound, found{}, make([]byte, 2<<20)) },
	"lie":     func(j probe) error { return j.parent.Send(99, nil, []byte("not JSON")) },
	"strange": func(j probe) error { return j.parent.Send(kindFound, map[string]string{"Other": "x"}, nil) },

	"file":        func(probe) error { _, err := os.ReadFile("/etc/hostname"); return err },
	"own program": func(probe) error { _, err := os.ReadFile("/proc/self/exe"); return err },
	"parent": func(j probe) error {
		_, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", j.PID))
		return err
	},
	"list":  func(probe) error { _, err := os.ReadDir("/"); return err },
	"look":  func(probe) error { _, err := os.Stat("/etc/passwd"); return err },
	"write": func(probe) error { return os.WriteFile("/tmp/pawl-escaped", nil, 0o600) },
	"git":   func(probe) error { return exec.Command("git", "version").Run() },
	"shell": func(probe) error { return syscall.Exec("/bin/sh", []string{"sh"}, nil) },
	"fork": func(probe) error {
		_, err := syscall.ForkExec("/bin/sh", []string{"sh"}, &syscall.ProcAttr{})
		return err
	},
	"signal": func(j probe) error { return syscall.Kill(j.PID, 0) },
	"trace":  func(j probe) error { return syscall.PtraceAttach(j.PID) },
	"tcp": func(j probe) error {
		_, err := net.Dial("tcp", j.Address)
		return err
	},
	"udp": func(j probe) error {
		_, err := net.Dial("udp", j.Address)
		return err
	},
	"unix": func(probe) error {
		_, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		return err
	},
	"listen": func(probe) error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err },
	"http": func(j probe) error {
		_, err := http.Get("http://" + j.Address)
		return err
	},
	"files on every thread": onEveryThread(func() error { _, err := os.ReadFile("/etc/hostname"); return err }),
	"sockets on every thread": onEveryThread(func() error {
		_, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		return err
	}),
	"environment": func(probe) error {
		if len(os.Environ()) > 0 {
			return nil
		}
		return os.ErrPermission
	},
}

// onEveryThread tries the same on threads from before the sealing, many at once
// so that each goroutine has one of its own.
func onEveryThread(try func() error) func(probe) error {
	return func(probe) error {
		errs := make(chan error, 16)
		var all sync.WaitGroup
		all.Add(cap(errs))
		for range cap(errs) {
			go func() {
				runtime.LockOSThread()
				all.Done()
				all.Wait()
				errs <- try()
			}()
		}
		for range cap(errs) {
			if err := <-errs; err == nil {
				return nil
			}
		}
		return os.ErrPermission
	}
}
