// Package node simulates the machines of a cluster: it registers nodes with
// room for thousands of pods and plays the kubelet's part for every pod that
// the scheduler puts on them. No container runs; a pod is Running and Ready a
// few milliseconds after it was scheduled, with IP, container statuses and
// image IDs, and is gone as soon as it is deleted.
//
// Annotations on a pod choose what happens instead:
//
//	testworld.pawl.dev/fail: image-pull     ErrImagePull, after a second ImagePullBackOff
//	testworld.pawl.dev/fail: crash          exit code 1 again and again: CrashLoopBackOff
//	testworld.pawl.dev/fail: out-of-memory  the same with exit code 137, OOMKilled
//	testworld.pawl.dev/fail: missing-secret CreateContainerConfigError
//	testworld.pawl.dev/fail: mount          a volume that cannot be mounted: ContainerCreating
//	testworld.pawl.dev/fail: never-ready    runs, but its readiness probe never succeeds
//	testworld.pawl.dev/log: TEXT            what its containers log, instead of a termination message
//	testworld.pawl.dev/ready-after: 3s      runs at once, is ready after that time
//	testworld.pawl.dev/completes-after: 2s  when a pod that need not run forever succeeds
//
// An unknown value shows as CreateContainerConfigError with what is accepted.
// Annotations may change while the pod runs. What is played:
//
//   - A pod whose restartPolicy is not Always, such as a Job's, succeeds after
//     200 ms, or after completes-after. With fail: crash it fails (Never) or
//     crash-loops (OnFailure).
//
//   - Init containers have completed from the start; sidecars (restartPolicy
//     Always among them) run like the others.
//
//   - A crash is 200 ms after the start; back-offs are a tenth of the
//     kubelet's: 1 s, 2 s, 4 s and so on up to 30 s. A crashing container is
//     never ready in between.
//
//   - Failures also emit the kubelet's warning events; success emits none.
//
//   - An image ID is that of the digest in the image reference. For a tag,
//     which nobody pulls here, it is made up from the reference.
//
//   - A readiness gate must be true for the pod to be ready.
//
//   - Claims of the default storage class, standard, get an empty volume.
//
//   - The API server gets logs from the kubelet: those of the annotation, or one line.
//
// Not there: following logs, exec, port-forward, Service routing, liveness and startup
// probes, metrics for autoscalers.
package node
