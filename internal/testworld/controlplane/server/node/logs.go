package node

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/klog/v2"
)

// serve answers the API server as a kubelet does, for logs.
func serve(ctx context.Context, listener net.Listener, pods corelisters.PodLister) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		pod, err := pods.Pods(r.PathValue("namespace")).Get(r.PathValue("pod"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		text, err := logOf(pod, r.PathValue("container"), r.FormValue("previous") == "true")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, cut(text, r.FormValue("tailLines"), r.FormValue("limitBytes")))
	})
	server := &http.Server{Handler: mux}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); ctx.Err() == nil {
		klog.ErrorS(err, "the simulated kubelets answer no more")
	}
}

// logOf is what a container has logged, or the one before its last restart.
func logOf(pod *corev1.Pod, container string, previous bool) (string, error) {
	for _, c := range pod.Status.ContainerStatuses {
		switch {
		case c.Name != container:
			continue
		case previous && c.LastTerminationState.Terminated == nil:
			return "", fmt.Errorf("previous terminated container %q in pod %q not found", container, pod.Name)
		case !previous && c.ContainerID == "":
			return "", fmt.Errorf("container %q in pod %q is waiting to start", container, pod.Name)
		}
		if text := pod.Annotations[logAnnotation]; text != "" {
			return text, nil
		}
		return "simulated " + container + "\n", nil
	}
	return "", fmt.Errorf("container %q in pod %q is not available", container, pod.Name)
}

// cut takes the last lines, and of these the first bytes, as the kubelet does.
func cut(text, lines, bytes string) string {
	if n, err := strconv.Atoi(lines); err == nil {
		all := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
		text = strings.Join(all[max(0, len(all)-n):], "")
	}
	if n, err := strconv.Atoi(bytes); err == nil {
		text = text[:min(len(text), n)]
	}
	return text
}
