package drift

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/environments"
)

var migrate = ObjectID{Group: "batch", Kind: "Job", Namespace: "shop", Name: "migrate"}

func TestHowAJobFinished(t *testing.T) {
	t.Parallel()
	const failed = `status: {conditions: [{type: FailureTarget, status: "True"}, {type: Failed, status: "True", reason: BackoffLimitExceeded, lastTransitionTime: "2026-11-20T10:00:00Z"}]}`
	const complete = `status: {conditions: [{type: SuccessCriteriaMet, status: "True"}, {type: Complete, status: "True", lastTransitionTime: "2026-11-20T10:00:00Z"}]}`
	job := func(metadata, spec, status string) string {
		return `{apiVersion: batch/v1, kind: Job, metadata: {name: migrate, namespace: shop` + metadata + `}, spec: {` + spec + `}, ` + status + `}`
	}
	going := func(at string) string { return `, deletionTimestamp: "2026-11-20T` + at + `Z"` }
	const minute = "ttlSecondsAfterFinished: 60"
	for name, c := range map[string]struct {
		object   string
		finished Finished
		health   HealthStatus
	}{
		"runs":                             {job("", minute, `status: {active: 1}`), "", Progressing},
		"runs, and is deleted":             {job(going("10:00:00"), minute, `status: {active: 1}`), "", Progressing},
		"is to be complete":                {job("", minute, `status: {conditions: [{type: SuccessCriteriaMet, status: "True"}]}`), "", Progressing},
		"put off":                          {job("", "suspend: true", `status: {}`), "", Current},
		"complete":                         {job("", "", complete), FinishedComplete, Current},
		"complete, and is deleted":         {job(going("10:00:01"), "", complete), FinishedComplete, Current},
		"failed":                           {job("", minute, failed), "", Failed},
		"failed, and its TTL removes it":   {job(going("10:01:00"), minute, failed), FinishedFailed, Failed},
		"the same by a clock that is late": {job(going("10:00:58"), minute, failed), FinishedFailed, Failed},
		"failed, its TTL is 0":             {job(going("10:00:00"), "ttlSecondsAfterFinished: 0", failed), FinishedFailed, Failed},
		"failed, deleted before its TTL":   {job(going("10:00:30"), minute, failed), "", Progressing},
		"failed, deleted, without a TTL":   {job(going("10:01:00"), "", failed), "", Progressing},
		"failed, nobody knows when":        {job(going("10:01:00"), minute, `status: {conditions: [{type: Failed, status: "True"}]}`), "", Progressing},
		"another's Job":                    {`{apiVersion: acme.example/v1, kind: Job, metadata: {name: migrate}, ` + complete + `}`, "", Current},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live := Observe(object(t, c.object))
			if live.Finished != c.finished || live.Health.Status != c.health {
				t.Errorf("finished %q and %s, want %q and %s", live.Finished, live.Health.Status, c.finished, c.health)
			}
		})
	}
}

func TestDecideOnAJobThatHasFinished(t *testing.T) {
	t.Parallel()
	const complete, failed = "was complete before it was deleted; it runs again once it is changed in git", "was removed by its ttlSecondsAfterFinished; it runs again once it is changed in git"
	gone := Live{State: Absent}
	noted := with(entry, func(e *Entry) { e.Finished = FinishedComplete })
	seen := with(asLeft, func(l *Live) { l.Finished = FinishedComplete })
	for name, c := range map[string]struct {
		entry  Entry
		live   Live
		mode   environments.DriftMode
		digest Digest
		want   Step
	}{
		"complete, and gone: left so":                  {noted, gone, "", "wanted", Step{Action: Unchanged, Reason: complete}},
		"the same where drift is reported: no drift":   {noted, gone, environments.DriftReport, "wanted", Step{Action: Unchanged, Reason: complete}},
		"failed, and gone by its TTL: left so":         {with(entry, func(e *Entry) { e.Finished = FinishedFailed }), gone, "", "wanted", Step{Action: Unchanged, Reason: failed}},
		"gone before it was complete: drift":           {entry, gone, "", "wanted", Step{Action: Create, Reason: "was deleted"}},
		"complete as it was before, gone: runs":        {noted, gone, "", "newer", Step{Action: Create, Reason: "not there yet"}},
		"complete as it was before, there: configured": {noted, seen, "", "newer", Step{Action: Configure, Reason: "differs from the release"}},
		"complete, and there":                          {noted, seen, "", "wanted", Step{Action: Unchanged}},
		"complete, there, and edited: put back":        {noted, with(seen, func(l *Live) { l.Applied = "edited" }), "", "wanted", Step{Action: Configure, Reason: "was changed"}},
		"complete, and on its way out":                 {noted, with(seen, func(l *Live) { l.Terminating = true }), "", "wanted", Step{Action: Unchanged, Reason: complete}},
		"the same, not noted yet":                      {entry, with(seen, func(l *Live) { l.Terminating = true }), "", "wanted", Step{Action: Unchanged, Reason: complete}},
		"another one is complete, and on its way out":  {entry, with(seen, func(l *Live) { l.Terminating, l.Applied = true, "edited" }), "", "wanted", Step{Action: Create, Reason: "is being deleted; made again as soon as it is gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := Decide(Situation{Target: production, Mark: ours, MaxPercent: 100, Mode: c.mode, Wanted: wantedOf(c.digest, migrate), Inventory: inventoryOf(c.entry, migrate), Live: map[ObjectID]Live{migrate: c.live}})
			if err != nil {
				t.Fatal(err)
			}
			c.want.Object = migrate
			if diff := cmp.Diff([]Step{c.want}, plan.Steps); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What has no finished Job is as older agents know it, to the byte; those refuse
// to read what has one, and so do not run it again.
//
// catalogue 117
func TestAgentsThatDoNotKnowFinishedJobsRefuseThem(t *testing.T) {
	t.Parallel()
	const knownBefore = 4
	for _, finished := range []Finished{FinishedComplete, FinishedFailed} {
		for _, objects := range []int{3, 400} {
			inv := large(objects)
			before := store(t, inv, 0, 8<<10)
			inv.Entries[migrate] = with(entry, func(e *Entry) { e.Finished = finished })
			after := store(t, inv, len(before.named), 8<<10)
			read, _, err := after.read()
			if err != nil || !inv.Equal(read) {
				t.Errorf("with %d objects: %s %v", objects, cmp.Diff(inv, read), err)
			}
			if !readBy(before, knownBefore) {
				t.Errorf("an older agent cannot read an inventory of %d objects without a finished Job", objects)
			}
			if readBy(after, knownBefore) {
				t.Errorf("an older agent reads an inventory of %d objects with a finished Job", objects)
			}
		}
	}
	if _, _, err := DecodeInventory(packed(t, `{"format":5,"target":"p","objects":[{"kind":"Job","version":"v1","name":"c","finished":"soon"}]}`), nil); err == nil {
		t.Error("a word that is not known is read")
	}
}

// readBy reports whether an agent that knows formats up to one finds all of
// them in an inventory.
func readBy(s stock, newest int) bool {
	contents := [][]byte{s.head}
	for _, p := range s.named {
		contents = append(contents, s.parts[p.Name])
	}
	return !slices.ContainsFunc(contents, func(content []byte) bool {
		var into struct{ Format int }
		return errors.Is(decode(content, newest, &into), ErrInventoryFormat)
	})
}
