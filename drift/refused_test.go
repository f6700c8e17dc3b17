package drift

import (
	"testing"

	"github.com/pawl-dev/pawl/environments"
)

func TestWhatIsOnlyToBeWaitedForIsSaidSo(t *testing.T) {
	t.Parallel()
	web := environments.Target{Environment: "dev", Application: "web"}
	id := ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "c"}
	waits := Problem{Object: id, Reason: "its namespace shop is not there", Awaits: ObjectID{Kind: "Namespace", Name: "shop"}}
	wrong := Problem{Object: id, Field: "data", Reason: "is wrong"}
	for name, c := range map[string]struct {
		problems []Problem
		passes   bool
		says     string
	}{
		"only waits":              {[]Problem{waits}, true, "dev/web: 1 of 3 objects cannot be made yet, nothing was written:\n  ConfigMap shop/c: its namespace shop is not there"},
		"wrong":                   {[]Problem{wrong}, false, "dev/web: the API server refuses 1 problem in 3 objects, nothing was written:\n  ConfigMap shop/c: data: is wrong"},
		"one waits, one is wrong": {[]Problem{waits, wrong}, false, "dev/web: the API server refuses 2 problems in 3 objects, nothing was written:\n  ConfigMap shop/c: its namespace shop is not there\n  ConfigMap shop/c: data: is wrong"},
		"nothing":                 {nil, false, "dev/web: the API server refuses 0 problems in 3 objects, nothing was written:"},
	} {
		e := &Rejected{Target: web, Of: 3, Problems: c.problems}
		if e.Passes() != c.passes || e.Error() != c.says {
			t.Errorf("%s: %t, %q; want %t, %q", name, e.Passes(), e.Error(), c.passes, c.says)
		}
	}
}
