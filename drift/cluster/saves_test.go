package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// inventoryServer answers requests for ConfigMaps as an API server would, where
// before lets it.
type inventoryServer struct {
	before func(r *http.Request) (status int)

	mu      sync.Mutex
	version int
	objects map[string]*corev1.ConfigMap
}

func (s *inventoryServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, name, _ := strings.Cut(r.URL.Path, "/configmaps/")
	status := 0
	if s.before != nil {
		status = s.before(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sent, held := &corev1.ConfigMap{}, s.objects[name]
	var answer any = held
	switch {
	case status != 0:
	case r.Method == http.MethodGet && name == "":
		list := &corev1.ConfigMapList{}
		for _, o := range s.objects {
			if strings.HasPrefix(r.URL.Query().Get("labelSelector"), labelInventory+"=") {
				list.Items = append(list.Items, *o)
			}
		}
		answer = list
	case r.Method == http.MethodGet && held == nil:
		status = http.StatusNotFound
	case r.Method == http.MethodGet:
	case json.Unmarshal(body, sent) != nil:
		status = http.StatusBadRequest
	case r.Method == http.MethodPost && s.objects[sent.Name] != nil, r.Method == http.MethodPut && held.ResourceVersion != sent.ResourceVersion:
		status = http.StatusConflict
	default:
		s.version++
		sent.ResourceVersion = fmt.Sprint(s.version)
		s.objects[sent.Name], answer = sent, sent
	}
	w.Header().Set("Content-Type", "application/json")
	if status != 0 {
		reasons := map[int]metav1.StatusReason{http.StatusNotFound: metav1.StatusReasonNotFound, http.StatusConflict: metav1.StatusReasonConflict, http.StatusInternalServerError: metav1.StatusReasonInternalError}
		w.WriteHeader(status)
		answer = metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(status), Reason: reasons[status]}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func withInventories(t *testing.T) (*inventoryServer, *Cluster) {
	t.Helper()
	s := &inventoryServer{objects: map[string]*corev1.ConfigMap{}}
	server := httptest.NewServer(s)
	c, err := New(Options{Config: &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, Namespace: "pawl-system", Owner: "agent"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); server.Close() })
	return s, c
}

func targetFor(c *Cluster, application string) *target {
	t := environments.Target{Environment: "production", Application: application}
	return &target{Target: t, name: t.String(), mark: drift.MarkFor(c.options.Owner, t)}
}

func saying(t *target, release string) drift.Inventory {
	return drift.Inventory{Target: t.name, Accepted: drift.Accepted{Release: release}, Entries: map[drift.ObjectID]drift.Entry{}}
}

func TestSavesOfOneInventoryAreNoConflict(t *testing.T) {
	t.Parallel()
	_, c := withInventories(t)
	web := targetFor(c, "web")
	if _, err := c.inventories.load(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if err := c.inventories.save(t.Context(), web, saying(web, fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// An answer that is lost and a conflict leave nothing to compare with.
func TestAnInventoryThatIsStaleAndUnsureIsReadAgain(t *testing.T) {
	t.Parallel()
	s, c := withInventories(t)
	web := targetFor(c, "web")
	if _, err := c.inventories.load(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	if err := c.inventories.save(t.Context(), web, saying(web, "theirs")); err != nil {
		t.Fatal(err)
	}
	name := inventoryName(web.mark)
	c.inventories.set(name, &stored{stale: true})
	c.inventories.unsure[name] = saying(web, "sent")
	s.before = func(r *http.Request) int {
		if r.Method == http.MethodPut {
			t.Error("it was written on an old view")
		}
		return 0
	}
	if err := c.inventories.save(t.Context(), web, saying(web, "next")); err == nil {
		t.Error("somebody else's was replaced")
	}
	inv, err := c.inventories.load(t.Context(), web)
	if err != nil || inv.Accepted.Release != "theirs" {
		t.Errorf("%+v, %v", inv.Accepted, err)
	}
}

func TestNoTargetWaitsForTheInventoryOfAnother(t *testing.T) {
	t.Parallel()
	s, c := withInventories(t)
	web, api := targetFor(c, "web"), targetFor(c, "api")
	if _, err := c.inventories.load(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	s.before = func(r *http.Request) int {
		if r.Method == http.MethodPost {
			return http.StatusInternalServerError
		}
		return 0
	}
	if err := c.inventories.save(t.Context(), web, saying(web, "1")); err == nil {
		t.Fatal("want no answer")
	}
	hangs, held := make(chan struct{}), make(chan struct{})
	s.before = func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/"+inventoryName(web.mark)) {
			close(hangs)
			<-held
		}
		return 0
	}
	done := make(chan error)
	go func() {
		_, err := c.inventories.load(context.Background(), web) // which finds out what is stored
		done <- err
	}()
	<-hangs
	others, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	free := make(chan error)
	go func() {
		if err := c.inventories.save(others, api, saying(api, "1")); err != nil {
			free <- err
			return
		}
		accepted, err := c.Accepted(others)
		if err == nil && len(accepted) != 1 {
			err = fmt.Errorf("%v is accepted", accepted)
		}
		free <- err
	}()
	select {
	case err := <-free:
		if err != nil {
			t.Error(err)
		}
	case <-others.Done():
		t.Error("another target waits")
	}
	close(held)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
