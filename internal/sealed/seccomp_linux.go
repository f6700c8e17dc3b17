package sealed

import (
	"slices"
	"strings"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// allowed is what a child may ask of the kernel: what Go's runtime needs to
// manage memory, threads, timers and the pipes that are open. Everything else,
// whatever kernels have yet to invent, fails with EPERM; nothing kills, so that
// a Go release that tries something new goes on without it.
func allowed(pid int) (seccomp.Policy, error) {
	machine, err := arch.GetInfo("")
	if err != nil {
		return seccomp.Policy{}, err
	}
	names := slices.DeleteFunc(strings.Fields(needed), func(name string) bool {
		_, ok := machine.SyscallNames[name]
		return !ok // elsewhere it goes by another name
	})
	return seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{{
			// Its flags are out of a filter's sight. C libraries fall back to clone only
			// where the kernel does not know it.
			Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS),
			Names:  []string{"clone3"},
		}, {
			Action: seccomp.ActionAllow,
			Names:  names,
			NamesWithCondtions: []seccomp.NameWithConditions{
				// Threads, no processes.
				on("clone", seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD}),
				// Signals to itself alone: the runtime preempts by them.
				on("tgkill", seccomp.Condition{Argument: 0, Operation: seccomp.Equal, Value: uint64(pid)}),
				// Nothing that can be executed.
				on("mmap", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC}),
				on("mprotect", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC}),
				// The runtime names its mappings.
				on("prctl", seccomp.Condition{Argument: 0, Operation: seccomp.Equal, Value: unix.PR_SET_VMA}),
			},
		}},
	}, nil
}

const needed = `
	brk munmap mremap madvise mincore
	read write readv writev pread64 close fcntl fstat
	epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2 pipe2
	futex futex_wait futex_wake
	nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday sched_yield sched_getaffinity
	rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall
	getpid gettid getrandom getrusage set_robust_list rseq membarrier
	exit exit_group`

func on(name string, c seccomp.Condition) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: name, Conditions: seccomp.ArgumentConditions{c}}
}
