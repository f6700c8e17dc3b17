package controlplane

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func startOwn(t *testing.T) *ControlPlane {
	t.Helper()
	cp, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return cp
}

// pid is that of a control plane that runs.
func pid(t *testing.T, cp *ControlPlane) int {
	t.Helper()
	return cp.plane.(*process).child.Process.Pid
}

func runs(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestObjectsOutliveAKillAndARestart(t *testing.T) {
	t.Parallel()
	cp := startOwn(t)
	client := clientOf(t, cp)
	apply(t, cp, deployments, "default", "web", deployment("web", 2))
	available := func() (bool, string) {
		d, err := client.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == int32(*d.Spec.Replicas), fmt.Sprint(err)
	}
	eventually(t, "an available Deployment", available)
	before, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}

	for _, end := range []struct {
		name string
		by   func() error
	}{
		{"kill -9", cp.Kill},
		{"a clean stop", func() error { return nil }}, // Restart's own
	} {
		if err := end.by(); err != nil {
			t.Fatal(err)
		}
		if err := cp.Restart(t.Context()); err != nil {
			t.Fatalf("restart after %s: %v", end.name, err)
		}
		// The same client as before: address and certificates are the same.
		eventually(t, "the same pods after "+end.name, func() (bool, string) {
			after, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return false, err.Error()
			}
			return samePods(before, after), fmt.Sprintf("%v", after)
		})
		apply(t, cp, deployments, "default", "web", deployment("web", 3))
		eventually(t, "controllers at work after "+end.name, available)
		apply(t, cp, deployments, "default", "web", deployment("web", 2))
		eventually(t, "controllers at work after "+end.name, available)
		if before, err = client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func samePods(a, b *corev1.PodList) bool {
	ips := map[string]string{}
	for _, pod := range a.Items {
		ips[string(pod.UID)] = pod.Status.PodIP
	}
	for _, pod := range b.Items {
		if ips[string(pod.UID)] != pod.Status.PodIP || pod.Status.Phase != corev1.PodRunning {
			return false
		}
	}
	return len(a.Items) == len(b.Items)
}

func TestStopLeavesNoProcessAndNoData(t *testing.T) {
	t.Parallel()
	cp := startOwn(t)
	// An open watch is what holds up a clean stop.
	watch, err := clientOf(t, cp).CoreV1().ConfigMaps("").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	server := pid(t, cp)
	if err := cp.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if runs(server) {
		t.Errorf("process %d still runs", server)
	}
	if _, err := os.Stat(cp.DataDir); !os.IsNotExist(err) {
		t.Errorf("the temporary data folder is still there: %v", err)
	}
}

func TestTwoControlPlanesSideBySide(t *testing.T) {
	t.Parallel()
	one, other := startOwn(t), Shared(t)
	name := metav1.ObjectMeta{Name: "only-in-one"}
	if _, err := clientOf(t, one).CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: name}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := clientOf(t, other).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range list.Items {
		if namespace.Name == name.Name {
			t.Errorf("a namespace of one control plane is in the other")
		}
	}
}

func TestExistingClusterIsUsedAndLeftAlone(t *testing.T) {
	t.Parallel()
	cp, err := Existing(Shared(t).Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := cp.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := clientOf(t, cp).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("it does not answer after Stop: %v", err)
	}
	if cp.Kill() == nil || cp.Restart(t.Context()) == nil {
		t.Error("a cluster that is not ours was killed or restarted")
	}
	if _, err := cp.Audit().Since(0); err == nil {
		t.Error("an audit log that is not there was read")
	}
	if _, err := Existing(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a kubeconfig that is not there was taken")
	}
}

func TestAStartThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// etcd finds a file where its folder should be.
	if err := os.WriteFile(filepath.Join(dir, "etcd"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "start etcd on "+filepath.Join(dir, "etcd")) {
		t.Errorf("the error does not name the cause: %v", err)
	}
}

// parentVariable makes this test binary a parent that will be killed.
const parentVariable = "PAWL_TEST_PARENT"

func beParent() {
	cp, err := Start(context.Background(), Options{})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(cp.plane.(*process).child.Process.Pid, cp.DataDir)
	time.Sleep(time.Hour)
}

func TestAKilledParentLeavesNoProcessAndNoData(t *testing.T) {
	t.Parallel()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"=1")
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var server int
	var dataDir string
	if _, err := fmt.Fscan(out, &server, &dataDir); err != nil {
		rest, _ := io.ReadAll(out)
		t.Fatalf("the parent did not start a control plane: %v %s", err, rest)
	}
	t.Cleanup(func() { // what a red test would leave behind
		if runs(server) {
			_ = syscall.Kill(server, syscall.SIGKILL)
			_ = os.RemoveAll(dataDir)
		}
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	eventually(t, "the end of the orphan", func() (bool, string) {
		_, err := os.Stat(dataDir)
		return !runs(server) && os.IsNotExist(err), fmt.Sprintf("process %d runs: %t; data: %v", server, runs(server), err)
	})
}
