package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/internal/testworld"
)

const (
	edits = 200
	// people is how many of those at once have a request under way.
	people = 40
)

// bursts are how many edits and deletions come at once, and how often.
var bursts = []struct {
	at, n int
	reach time.Duration
}{{40, 10, 300 * time.Millisecond}, {500, 4, 3 * time.Second}}

var oneBack = reach{p50: 6 * time.Millisecond, p99: 25 * time.Millisecond}

// disturbed goes through the ConfigMaps of a shop, so that each edit meets
// another one: who comes back to the same object again and again is put off.
type disturbed struct {
	*measured
	which []int
	next  int
}

func (m *measured) disturb(from, to int) *disturbed {
	d := &disturbed{measured: m}
	for i := from; i < to; i++ {
		d.which = append(d.which, i)
	}
	return d
}

func (d *disturbed) pick() int {
	d.next++
	return d.which[d.next%len(d.which)]
}

// measureDrift edits and deletes objects by hand: with nothing else to do, then
// during a sync, during a wait for health, beside repairs that are refused, and
// among twice as many.
func measureDrift(ctx context.Context, b *bench) (rows []row, err error) {
	m, err := b.open(ctx, 2000, 20, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.process.Stop(ctx)) }()
	for _, c := range []struct {
		when    string
		measure func() ([]row, error)
	}{
		{"among 2,000", func() ([]row, error) { return m.disturb(0, 2000).all(ctx, b, "among 2,000") }},
		{"during a sync", func() ([]row, error) { return m.duringSync(ctx, b) }},
		{"during a wait for health", func() ([]row, error) { return m.duringWait(ctx, b) }},
		{"beside refused repairs", func() ([]row, error) { return m.besideRefused(ctx, b) }},
		{"among 4,000", func() ([]row, error) {
			m.texts = append(m.texts, make([]string, 2000)...)
			commit, err := m.say(ctx, "more")
			if err == nil {
				err = m.Green(ctx, commit, "dev")
			}
			if err != nil {
				return nil, err
			}
			return m.disturb(0, 4000).all(ctx, b, "among 4,000")
		}},
	} {
		b.progress("drift put back %s", c.when)
		more, err := c.measure()
		if err != nil {
			return rows, fmt.Errorf("%s: %w", c.when, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// all takes single edits and bursts.
func (d *disturbed) all(ctx context.Context, b *bench, when string) (rows []row, err error) {
	var single sample
	for range edits {
		took, err := d.one(ctx)
		if err != nil {
			return nil, err
		}
		single = append(single, took)
	}
	rows = append(rows, single.row("an object edited or deleted by hand "+when+" → put back", oneBack))
	for _, burst := range bursts {
		b.progress("%d at once %s", burst.at, when)
		var all sample
		for range burst.n {
			took, err := d.many(ctx, burst.at)
			if err != nil {
				return nil, err
			}
			all = append(all, took)
		}
		rows = append(rows, all.row(fmt.Sprintf("%d at once %s → last one put back", burst.at, when), reach{p99: burst.reach}))
	}
	return rows, nil
}

// one takes the time from the answer to an edit, or a deletion, to the moment
// when the object is back.
func (d *disturbed) one(ctx context.Context) (time.Duration, error) {
	i := d.pick()
	begun := time.Now()
	answered, err := d.change(ctx, i)
	if err != nil {
		return 0, err
	}
	back, err := d.seen.until(ctx, begun, d.texts[i], true, d.place(i))
	return max(0, back.Sub(answered)), err
}

// many takes the time from the first of many edits to the last one put back.
func (d *disturbed) many(ctx context.Context, at int) (time.Duration, error) {
	var picked []int
	for range at {
		picked = append(picked, d.pick())
	}
	begun := time.Now()
	g, editing := errgroup.WithContext(ctx)
	g.SetLimit(people)
	for _, i := range picked {
		g.Go(func() error { _, err := d.change(editing, i); return err })
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	last := begun
	for text, places := range d.byText(picked) {
		back, err := d.seen.until(ctx, begun, text, true, places...)
		if err != nil {
			return 0, err
		}
		if back.After(last) {
			last = back
		}
	}
	return last.Sub(begun), nil
}

func (d *disturbed) byText(picked []int) map[string][]place {
	found := map[string][]place{}
	for _, i := range picked {
		found[d.texts[i]] = append(found[d.texts[i]], d.place(i))
	}
	return found
}

// change edits or deletes an object as a person would, and returns when that
// was answered.
func (d *disturbed) change(ctx context.Context, i int) (time.Time, error) {
	p := d.place(i)
	maps := d.client.CoreV1().ConfigMaps(p.namespace)
	var err error
	if i%2 == 1 {
		err = maps.Delete(ctx, p.name, metav1.DeleteOptions{})
	} else {
		_, err = maps.Patch(ctx, p.name, types.MergePatchType, []byte(`{"data":{"text":"by hand"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	}
	return time.Now(), err
}

// duringSync edits half of the objects of each target while a revision that
// changes the others is being applied.
func (m *measured) duringSync(ctx context.Context, b *bench) ([]row, error) {
	others := &disturbed{measured: m}
	var changed []int
	var places []place
	for i := range m.texts {
		if i/2%2 == 0 { // of edits and deletions as many
			changed, places = append(changed, i), append(places, m.place(i))
		} else {
			others.which = append(others.which, i)
		}
	}
	turn := 0
	sync := func(meanwhile func(going func() bool) error) error {
		turn++
		text, begun := fmt.Sprint("sync ", turn), time.Now()
		for _, i := range changed {
			m.texts[i] = text
		}
		commit, err := m.commit(ctx)
		if err != nil {
			return err
		}
		if _, err := m.seen.until(ctx, begun, text, true, places[:1]...); err != nil { // it has begun to write
			return err
		}
		if err := meanwhile(func() bool { return !m.seen.whole(text, places) }); err != nil {
			return err
		}
		return m.Green(ctx, commit, "dev")
	}
	var single sample
	for len(single) < edits/2 && turn < 20 {
		if err := sync(func(going func() bool) error {
			for going() {
				took, err := others.one(ctx)
				if err != nil {
					return err
				}
				single = append(single, took)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	rows := []row{single.row("an object edited or deleted by hand during a sync of 1,000 others → put back", oneBack)}
	for _, burst := range bursts {
		b.progress("%d at once during a sync", burst.at)
		var all sample
		for range min(burst.n, 4) {
			if err := sync(func(func() bool) error {
				took, err := others.many(ctx, burst.at)
				all = append(all, took)
				return err
			}); err != nil {
				return nil, err
			}
		}
		rows = append(rows, all.row(fmt.Sprintf("%d at once during a sync → last one put back", burst.at), reach{p99: burst.reach}))
	}
	return rows, nil
}

// whole reports whether all places say the text now.
func (o *observer) whole(text string, places []place) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !slices.ContainsFunc(places, func(p place) bool { return o.seen[p].text != text })
}

// duringWait edits while a rollout does not get ready.
func (m *measured) duringWait(ctx context.Context, b *bench) ([]row, error) {
	begun := time.Now()
	m.web, m.fail = "never ready", "never-ready"
	if _, err := m.commit(ctx); err != nil {
		return nil, err
	}
	if _, err := m.seen.until(ctx, begun, m.web, false, m.deployment()); err != nil {
		return nil, err
	}
	rows, err := m.disturb(0, len(m.texts)).all(ctx, b, "during a wait for health")
	if err != nil {
		return nil, err
	}
	m.web, m.fail = "ready", ""
	commit, err := m.commit(ctx)
	if err != nil {
		return nil, err
	}
	return rows, m.Green(ctx, commit, "dev")
}

// refused are the objects whose repairs the API server refuses.
const refused = 100

// besideRefused edits while the API server refuses the repair of others.
func (m *measured) besideRefused(ctx context.Context, b *bench) ([]row, error) {
	policies := m.client.AdmissionregistrationV1()
	deny := admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "refuse-repairs"}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Update},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
		}}}},
		MatchConditions: []admissionv1.MatchCondition{
			{Name: "by-the-agent", Expression: `request.userInfo.username == "` + testworld.AgentUser + `"`},
			{Name: "edited", Expression: `has(oldObject.data) && "refuse" in oldObject.data`},
		},
		Validations: []admissionv1.Validation{{Expression: "false", Message: "not today"}},
	}}
	if _, err := policies.ValidatingAdmissionPolicies().Create(ctx, &deny, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if _, err := policies.ValidatingAdmissionPolicyBindings().Create(ctx, &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "refuse-repairs"},
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: "refuse-repairs", ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	// It is in force once an edit stays.
	edit := func(ctx context.Context, i int) error {
		p := m.place(i)
		_, err := m.client.CoreV1().ConfigMaps(p.namespace).Patch(ctx, p.name, types.MergePatchType, []byte(`{"data":{"text":"refused","refuse":"yes"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
		return err
	}
	if err := testworld.Until(ctx, "repairs to be refused", func(ctx context.Context) (bool, string, error) {
		if err := edit(ctx, 0); err != nil {
			return false, "", err
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
		return m.seen.whole("refused", []place{m.place(0)}), "an edit was put back", nil
	}); err != nil {
		return nil, err
	}
	for i := range refused {
		if err := edit(ctx, i); err != nil {
			return nil, err
		}
	}
	rows, err := m.disturb(refused, len(m.texts)).all(ctx, b, fmt.Sprintf("beside %d whose repair is refused", refused))
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := policies.ValidatingAdmissionPolicyBindings().Delete(ctx, "refuse-repairs", metav1.DeleteOptions{}); err != nil {
		return nil, err
	}
	for i := range refused {
		if _, err := m.seen.until(ctx, begun, m.texts[i], true, m.place(i)); err != nil {
			return rows, err
		}
	}
	return rows, nil
}
