package cluster

import (
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
)

func TestOfPodsThatAreGoneNothingIsRemembered(t *testing.T) {
	t.Parallel()
	now := time.Now()
	web := &kept{id: drift.ObjectID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}, uid: "web", rollout: "2"}
	release := &target{objects: []*kept{web}}
	about := func(name, uid string, ago time.Duration) drift.Warning {
		return drift.Warning{Name: name, UID: uid, Last: now.Add(-ago)}
	}
	p := &podWatch{
		c: &Cluster{}, namespace: "shop", targets: map[*target]bool{release: true},
		pods: map[string]drift.Pod{"here": {Name: "here", UID: "1"}},
		warnings: map[string]drift.Warning{
			"1": about("here", "1", 10*time.Minute), "web": about("web", "web", 10*time.Minute), "soon": about("soon", "soon", time.Second),
			"0": about("here", "0", 10*time.Minute), "gone": about("gone", "gone", 10*time.Minute), "old": about("old", "old", 2*time.Hour),
		},
		logs: map[string]*lastWords{"here": {}, "gone": {}},
		sets: map[replicaSet]*revision{{"web", "web-b", "2"}: {}, {"web", "web-a", "1"}: {}, {"api", "api-a", "2"}: {}},
	}
	p.forget(now)
	for _, uid := range []string{"1", "web", "soon"} {
		if _, ok := p.warnings[uid]; !ok {
			t.Errorf("the warning about %s is forgotten", uid)
		}
	}
	if len(p.warnings) != 3 || len(p.logs) != 1 || p.logs["here"] == nil || len(p.sets) != 1 || p.sets[replicaSet{"web", "web-b", "2"}] == nil {
		t.Errorf("remembered are %v, %v, %v", p.warnings, p.logs, p.sets)
	}
}

// An event is kept for an hour by the API server; one that is older is of no use.
func TestAnOldEventIsNotRemembered(t *testing.T) {
	t.Parallel()
	p := &podWatch{c: &Cluster{}, warnings: map[string]drift.Warning{}}
	old := &seen[*drift.Warning]{says: &drift.Warning{Name: "web", UID: "u", Last: time.Now().Add(-2 * time.Hour)}}
	if err := (warningStore{p}).Add(old); err != nil || len(p.warnings) > 0 {
		t.Errorf("remembered are %v, %v", p.warnings, err)
	}
}
