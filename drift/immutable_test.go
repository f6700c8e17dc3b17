package drift

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The answers are a real API server's, recorded by TestAnswersToRefusedChanges
// in drift/cluster.
//
// catalogue 88
func TestWhatAnAnswerSaysIsImmutable(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var answers []struct {
		Change string
		Status metav1.Status
	}
	if err := json.Unmarshal(content, &answers); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, a := range answers {
		got[a.Change] = Immutable(a.Status)
	}
	want := map[string][]string{
		"Deployment selector":               {"spec.selector"},
		"DaemonSet selector":                {"spec.selector"},
		"StatefulSet selector":              {"spec"},
		"StatefulSet service":               {"spec"},
		"Job template":                      {"spec.template.spec"},
		"claim's access modes":              {"spec"},
		"claim's storage class":             {"spec"},
		"size of a claim that is not bound": {"spec"},
		"Service cluster address":           {"spec.clusterIPs[0]"},
		"RoleBinding roleRef":               {"roleRef"},
		"immutable ConfigMap":               {"data"},
		"ConfigMap no longer immutable":     {"immutable"},
		"immutable Secret":                  {"data"},
		"Secret type":                       {"type"},
		"PriorityClass value":               {"value"},
		"StorageClass parameters":           {"parameters"},
		"StorageClass provisioner":          {"provisioner"},
		"IngressClass controller":           {"spec.controller"},
		"RuntimeClass handler":              {"handler"},
		"volume's source":                   {"spec.persistentvolumesource"},
		"Pod":                               {"spec"},

		// Deleting the object would help with none of these.
		"negative replicas":                         nil,
		"negative replicas and another selector":    nil,
		"selector that does not match":              nil,
		"unknown policy of restarts":                nil,
		"text that claims to be about immutability": nil,
		"two ports of a name":                       nil,
		"unknown field":                             nil,
		"type of a field":                           nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyTheServersOwnWordsCount(t *testing.T) {
	t.Parallel()
	invalid := func(causes ...metav1.StatusCause) metav1.Status {
		return metav1.Status{Code: 422, Reason: metav1.StatusReasonInvalid, Details: &metav1.StatusDetails{Causes: causes}}
	}
	immutable := metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.size", Message: `Invalid value: "integer": Value is immutable`}
	conflict := invalid(immutable)
	conflict.Code, conflict.Reason = 409, metav1.StatusReasonConflict
	for name, c := range map[string]struct {
		answer metav1.Status
		is     bool
	}{
		"rule of a custom resource":       {invalid(immutable), true},
		"no causes":                       {invalid(), false},
		"zero":                            {metav1.Status{}, false},
		"conflict":                        {conflict, false},
		"quoted in a value":               {invalid(metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Message: `Invalid value: "x: field is immutable": must be a number`}), false},
		"of another type":                 {invalid(metav1.StatusCause{Type: metav1.CauseTypeFieldValueRequired, Message: "Required value: field is immutable"}), false},
		"one of two":                      {invalid(immutable, metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Message: "Invalid value: -1: must be positive"}), false},
		"forbidden for another reason":    {invalid(metav1.StatusCause{Type: metav1.CauseTypeForbidden, Message: "Forbidden: field can not be less than status.capacity"}), false},
		"immutable in a webhook's denial": {metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden, Message: "admission webhook denied the request: field is immutable"}, false},
	} {
		if got := len(Immutable(c.answer)) > 0; got != c.is {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// catalogue 88
func TestDecideRecreation(t *testing.T) {
	t.Parallel()
	ours := Mark{Agent: "pawl", Target: "production_web"}
	here := Live{State: Present, UID: "1", Mark: ours}
	asks := Wanted{Recreate: true}
	// What returns does not ask, and what is there was applied with the word.
	worded := Live{State: Present, UID: "1", Mark: ours, Applied: "a", Recreate: true}
	asApplied := Entry{UID: "1", Applied: "a"}
	confirmed := worded
	confirmed.Confirm = true
	for name, c := range map[string]struct {
		wanted    Wanted
		known     Entry
		live      Live
		returning bool
		recreate  bool
		reason    string
	}{
		"asked for":              {asks, Entry{}, here, false, true, "spec.selector cannot be changed in a live object; deleted and made again, as it asks for by pawl.dev/recreate"},
		"not asked for":          {Wanted{}, Entry{}, here, false, false, "spec.selector cannot be changed in a live object; take the change back, or have the object deleted and made again: annotate it with pawl.dev/recreate: on-immutable-change"},
		"somebody else's":        {asks, Entry{}, Live{State: Present, UID: "1"}, false, false, "spec.selector cannot be changed in a live object; what is there was not applied by this target, so it is not deleted. Delete it by hand if that is meant"},
		"another target's":       {asks, Entry{}, Live{State: Present, UID: "1", Mark: Mark{Agent: "pawl", Target: "other"}}, false, false, "spec.selector cannot be changed in a live object; what is there was not applied by this target, so it is not deleted. Delete it by hand if that is meant"},
		"not known what it is":   {asks, Entry{}, Live{}, false, false, "spec.selector cannot be changed in a live object; it could not be read, so it was not deleted"},
		"only taken over":        {asks, Entry{UID: "1", Adopted: true}, here, false, false, "spec.selector cannot be changed in a live object; it was there before it was first applied, so it is not deleted, as it may hold what is not of this release. Delete it by hand if that is meant, or take the change back"},
		"not there, as it seems": {asks, Entry{}, Live{State: Absent}, false, false, "spec.selector cannot be changed in a live object; it could not be read, so it was not deleted"},

		"applied with the word, by a commit without it":   {Wanted{}, asApplied, worded, false, false, "spec.selector cannot be changed in a live object; take the change back, or have the object deleted and made again: annotate it with pawl.dev/recreate: on-immutable-change"},
		"returns and was applied with the word":           {Wanted{}, asApplied, worded, true, true, "spec.selector cannot be changed in a live object; deleted and made again, as it was applied with pawl.dev/recreate"},
		"returns with the word":                           {asks, asApplied, here, true, true, "spec.selector cannot be changed in a live object; deleted and made again, as it asks for by pawl.dev/recreate"},
		"returns, and neither has the word":               {Wanted{}, asApplied, here, true, false, "spec.selector cannot be changed in a live object; it is not deleted and made again, as neither the release that returns nor the one that was applied last annotates it with pawl.dev/recreate: on-immutable-change"},
		"returns, and what is there was changed":          {Wanted{}, Entry{UID: "1", Applied: "b"}, worded, true, false, "spec.selector cannot be changed in a live object; it is not as it was applied last, so its pawl.dev/recreate does not count, and it is not deleted. Delete it by hand if that is meant"},
		"returns, and what is there is another one":       {Wanted{}, Entry{UID: "2", Applied: "a"}, worded, true, false, "spec.selector cannot be changed in a live object; it is not as it was applied last, so its pawl.dev/recreate does not count, and it is not deleted. Delete it by hand if that is meant"},
		"returns to what was only taken over":             {Wanted{}, Entry{UID: "1", Applied: "a", Adopted: true}, worded, true, false, "spec.selector cannot be changed in a live object; it was there before it was first applied, so it is not deleted, as it may hold what is not of this release. Delete it by hand if that is meant, or take the change back"},
		"returns to somebody else's":                      {Wanted{}, asApplied, Live{State: Present, UID: "1", Applied: "a", Recreate: true}, true, false, "spec.selector cannot be changed in a live object; what is there was not applied by this target, so it is not deleted. Delete it by hand if that is meant"},
		"returns to what only goes by a word in a commit": {Wanted{}, asApplied, confirmed, true, false, "spec.selector cannot be changed in a live object; it is protected from being deleted, so that only the release that returns can ask for it to be made again, by pawl.dev/recreate: on-immutable-change. Delete it by hand if that is meant"},
		"returns to a volume claim":                       {Wanted{ID: ObjectID{Kind: "PersistentVolumeClaim"}}, asApplied, worded, true, false, "spec.selector cannot be changed in a live object; it is protected from being deleted, so that only the release that returns can ask for it to be made again, by pawl.dev/recreate: on-immutable-change. Delete it by hand if that is meant"},
	} {
		recreate, reason := DecideRecreation(c.wanted, c.returning, c.known, c.live, ours, []string{"spec.selector"})
		if recreate != c.recreate || reason != c.reason {
			t.Errorf("%s: got %v, %s", name, recreate, reason)
		}
	}
}
