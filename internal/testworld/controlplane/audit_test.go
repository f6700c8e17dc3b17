package controlplane

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAuditCountsEachRequestOnce(t *testing.T) {
	t.Parallel()
	const (
		arrives  = `{"auditID":"1","stage":"RequestReceived","verb":"patch","requestURI":"/x?dryRun=All","user":{"username":"a"},"objectRef":{"resource":"pods","name":"p"}}` + "\n"
		answered = `{"auditID":"1","stage":"ResponseComplete","verb":"patch","requestURI":"/x","user":{"username":"a"},"objectRef":{"resource":"pods","name":"p"},"responseStatus":{"code":200}}` + "\n"
		begins   = `{"auditID":"2","stage":"ResponseStarted","verb":"watch","requestURI":"/y","user":{"username":"a"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200}}` + "\n"
		ends     = `{"auditID":"2","stage":"ResponseComplete","verb":"watch","requestURI":"/y","user":{"username":"a"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200}}` + "\n"
		refused  = `{"auditID":"3","stage":"ResponseComplete","verb":"watch","requestURI":"/y","user":{"username":"a"},"objectRef":{"resource":"pods"},"responseStatus":{"code":403}}` + "\n"
		review   = `{"auditID":"4","stage":"ResponseComplete","verb":"create","requestURI":"/z","user":{"username":"a"},"objectRef":{"resource":"selfsubjectaccessreviews","apiGroup":"authorization.k8s.io"},"responseStatus":{"code":201}}` + "\n"
	)
	for _, test := range []struct {
		name, log string
		from      int
		codes     []int // of each request
		writes    int
	}{
		{name: "nothing", log: ""},
		{name: "a write and its answer", log: arrives + answered, codes: []int{200}, writes: 1},
		{name: "a write whose arrival was before the marker", log: arrives + answered, from: len(arrives), codes: []int{200}, writes: 1},
		{name: "a dry run without an answer", log: arrives, codes: []int{0}},
		{name: "a watch that began and ended", log: begins + ends, codes: []int{200}},
		{name: "a watch that began before the marker", log: begins + ends, from: len(begins)},
		{name: "a watch that was refused", log: refused, codes: []int{403}},
		{name: "a question about rights", log: review, codes: []int{201}},
		{name: "a line that a kill cut off", log: answered + ends[:30], codes: []int{200}, writes: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "audit.log")
			if err := os.WriteFile(path, []byte(test.log), 0o600); err != nil {
				t.Fatal(err)
			}
			events, err := (&Audit{path: path}).Since(Marker(test.from))
			if err != nil {
				t.Fatal(err)
			}
			var codes []int
			for _, e := range events {
				codes = append(codes, e.Code)
			}
			if len(codes) != len(test.codes) || (len(codes) == 1 && codes[0] != test.codes[0]) || len(events.Writes("a")) != test.writes {
				t.Errorf("codes %v and %d writes, want %v and %d", codes, len(events.Writes("a")), test.codes, test.writes)
			}
			if len(events.Writes("b")) != 0 {
				t.Errorf("requests of somebody else are counted")
			}
		})
	}
}
