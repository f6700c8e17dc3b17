package sealed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/render"
)

// probes run inside of a child, in place of a build. What they find is the text
// of an error; "" stands for what must not be.
var probes = map[string]func(render.Job) (render.Built, error){
	"spin": func(render.Job) (render.Built, error) {
		for {
			runtime.KeepAlive(0)
		}
	},
	"eat": func(render.Job) (render.Built, error) {
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
	"recurse": func(render.Job) (render.Built, error) {
		var deeper func(n int) int
		deeper = func(n int) int { return deeper(n+1) + 1 }
		return render.Built{}, fmt.Errorf("%d", deeper(0))
	},
	"panic elsewhere": func(render.Job) (render.Built, error) {
		panic("hunter2 was in the input")
	},
	"chatter": func(job render.Job) (render.Built, error) {
		for range 10_000 {
			fmt.Fprintln(os.Stderr, "# Warning: 'vars' is deprecated: hunter2")
		}
		return render.InProcess().Build(context.Background(), job)
	},
	"flood": func(job render.Job) (render.Built, error) {
		large := make([]byte, 1<<20)
		for i := range large {
			large[i] = 'x'
		}
		var b render.Built
		for range int(job.Limits.Output>>20) + 40 {
			b.Objects = append(b.Objects, map[string]any{"kind": string(large)})
		}
		lines, err := encodeObjects(b.Objects, 1<<40)
		if err != nil {
			return b, err
		}
		return b, send(os.NewFile(1, ""), kindBuilt, product{}, lines)
	},
	"lie": func(render.Job) (render.Built, error) {
		return render.Built{}, send(os.NewFile(1, ""), 99, nil, []byte("not JSON"))
	},
	"outside": func(job render.Job) (render.Built, error) {
		_, _, err := job.Files.Read(job.Target.Overlay)
		return told(err)
	},

	"file":        func(render.Job) (render.Built, error) { _, err := os.ReadFile("/etc/hostname"); return told(err) },
	"own program": func(render.Job) (render.Built, error) { _, err := os.ReadFile("/proc/self/exe"); return told(err) },
	"parent": func(job render.Job) (render.Built, error) {
		_, err := os.ReadFile(fmt.Sprintf("/proc/%s/environ", job.Target.Overlay))
		return told(err)
	},
	"list":  func(render.Job) (render.Built, error) { _, err := os.ReadDir("/"); return told(err) },
	"look":  func(render.Job) (render.Built, error) { _, err := os.Stat("/etc/passwd"); return told(err) },
	"write": func(render.Job) (render.Built, error) { return told(os.WriteFile("/tmp/pawl-escaped", nil, 0o600)) },
	"git":   func(render.Job) (render.Built, error) { return told(exec.Command("git", "version").Run()) },
	"shell": func(render.Job) (render.Built, error) { return told(syscall.Exec("/bin/sh", []string{"sh"}, nil)) },
	"fork": func(render.Job) (render.Built, error) {
		_, err := syscall.ForkExec("/bin/sh", []string{"sh"}, &syscall.ProcAttr{})
		return told(err)
	},
	"signal": func(job render.Job) (render.Built, error) { return told(syscall.Kill(pid(job), 0)) },
	"trace":  func(job render.Job) (render.Built, error) { return told(syscall.PtraceAttach(pid(job))) },
	"tcp": func(job render.Job) (render.Built, error) {
		_, err := net.Dial("tcp", job.Target.Environment)
		return told(err)
	},
	"udp": func(job render.Job) (render.Built, error) {
		_, err := net.Dial("udp", job.Target.Environment)
		return told(err)
	},
	"unix": func(render.Job) (render.Built, error) {
		_, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		return told(err)
	},
	"listen": func(render.Job) (render.Built, error) { _, err := net.Listen("tcp", "127.0.0.1:0"); return told(err) },
	"http": func(job render.Job) (render.Built, error) {
		_, err := http.Get("http://" + job.Target.Environment)
		return told(err)
	},
	"files on every thread": onEveryThread(func() error { _, err := os.ReadFile("/etc/hostname"); return err }),
	"sockets on every thread": onEveryThread(func() error {
		_, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		return err
	}),
	"environment": func(render.Job) (render.Built, error) {
		if len(os.Environ()) > 0 {
			return told(nil)
		}
		return told(os.ErrPermission)
	},
	// kustomize without any scan before it, on the overlay as it is.
	"kustomize alone": func(job render.Job) (render.Built, error) {
		fsys := filesys.MakeFsInMemory()
		for _, name := range []string{"kustomization.yaml", "settings.yaml", "plugin.yaml"} {
			if content, _, err := job.Files.Read(job.Target.Overlay + "/" + name); err == nil {
				_ = fsys.WriteFile("/"+job.Target.Overlay+"/"+name, content)
			}
		}
		_, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fsys, "/"+job.Target.Overlay)
		return told(err)
	},
}

// told is the end of a probe: nothing that went well is refused.
func told(err error) (render.Built, error) {
	if err == nil {
		return render.Built{}, &render.Error{Err: errors.New("ALLOWED")}
	}
	return render.Built{}, &render.Error{Err: fmt.Errorf("refused: %w", err)}
}

// pid is the parent's, which a probe is told in place of an overlay.
func pid(job render.Job) int {
	n, _ := strconv.Atoi(job.Target.Overlay)
	return n
}

// onEveryThread tries the same on threads from before the sealing, many at once
// so that each goroutine has one of its own.
func onEveryThread(try func() error) func(render.Job) (render.Built, error) {
	return func(render.Job) (render.Built, error) {
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
				return told(nil)
			}
		}
		return told(os.ErrPermission)
	}
}
