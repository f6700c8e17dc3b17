package lease

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// world is a Lease and a clock that a test sets.
type world struct {
	at     time.Duration
	record *resourcelock.LeaderElectionRecord
	// onWrite runs between the Lease's being written and the answer.
	onWrite func()
}

// seat is the Lease as one replica reaches it.
type seat struct {
	*world
	identity string
}

var _ resourcelock.Interface = seat{}

func (s seat) Identity() string   { return s.identity }
func (s seat) Describe() string   { return "pawl-system/pawl-leader-test" }
func (s seat) RecordEvent(string) {}

func (s seat) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	if s.record == nil {
		return nil, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "leases"}, "pawl-leader-test")
	}
	return s.record, nil, nil
}

func (s seat) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return s.Update(ctx, r)
}

func (s seat) Update(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	s.record = &r
	if s.onWrite != nil {
		s.onWrite()
	}
	return nil
}

func held(by string) *resourcelock.LeaderElectionRecord {
	return &resourcelock.LeaderElectionRecord{HolderIdentity: by, LeaseDurationSeconds: 15}
}

func (w *world) lock(identity string) *lock {
	return &lock{Interface: seat{w, identity}, clock: func() time.Duration { return w.at }, log: zerolog.Nop()}
}

// lead is a replica that has just taken the Lease.
func (w *world) lead(t *testing.T) (*lock, *Term, context.Context) {
	t.Helper()
	l := w.lock("one")
	if err := l.Create(t.Context(), *held("one")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	return l, l.begin(10*time.Second, cancel), ctx
}

func wantLost(t *testing.T, err error) {
	t.Helper()
	var lost *Lost
	if !errors.As(err, &lost) {
		t.Errorf("%v, want *Lost", err)
	}
}

// catalogue 108, 112
func TestATermEndsByItsOwnClock(t *testing.T) {
	t.Parallel()
	w := &world{at: time.Hour}
	l, term, work := w.lead(t)
	w.at += 10 * time.Second
	if err := term.Check(); err != nil {
		t.Fatalf("within the margin: %v", err)
	}
	if err := l.Update(t.Context(), *held("one")); err != nil {
		t.Fatal(err)
	}
	w.at += 9 * time.Second
	if err := term.Check(); err != nil {
		t.Fatalf("renewed: %v", err)
	}
	w.at += 2 * time.Second
	wantLost(t, term.Check())
	if work.Err() == nil {
		t.Error("the work goes on")
	}
	wantLost(t, context.Cause(work))

	// A renewal that comes too late does not bring it back.
	if err := l.Update(t.Context(), *held("one")); err != nil {
		t.Fatal(err)
	}
	wantLost(t, term.Check())
}

// catalogue 108
func TestAnAnswerThatWasReadAfterAThawIsNoNews(t *testing.T) {
	t.Parallel()
	w := &world{}
	l, term, _ := w.lead(t)
	w.at += 2 * time.Second
	w.onWrite = func() { w.at += time.Minute } // frozen while the answer is under way
	if err := l.Update(t.Context(), *held("one")); err != nil {
		t.Fatal(err)
	}
	wantLost(t, term.Check())
}

// catalogue 108
func TestWhoFindsAnotherLeaderStopsAtOnce(t *testing.T) {
	t.Parallel()
	w := &world{}
	l, term, work := w.lead(t)
	w.record = held("another")
	if _, _, err := l.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLost(t, term.Check())
	if work.Err() == nil {
		t.Error("the work goes on")
	}
}

// catalogue 108
func TestADeletedLeaseIsTakenWhenItsHolderMustHaveNoticed(t *testing.T) {
	t.Parallel()
	w := &world{record: held("one")}
	standby := w.lock("two")
	if _, _, err := standby.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.record = nil
	for _, at := range []time.Duration{time.Second, 14 * time.Second} {
		w.at = at
		if _, _, err := standby.Get(t.Context()); err == nil || apierrors.IsNotFound(err) {
			t.Errorf("after %s: %v; an election creates the Lease where it is not found", at, err)
		}
	}
	w.at = 16 * time.Second
	if _, _, err := standby.Get(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("after the Lease's time: %v, want not found", err)
	}

	// Its holder makes it anew at once, and so does who saw it released.
	w.at = 0
	if _, _, err := w.lock("one").Get(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("its holder: %v, want not found", err)
	}
	other := w.lock("three")
	for _, record := range []*resourcelock.LeaderElectionRecord{held("one"), held(""), nil} {
		w.record = record
		_, _, err := other.Get(t.Context())
		if record == nil && !apierrors.IsNotFound(err) {
			t.Errorf("released, then deleted: %v, want not found", err)
		}
	}
}

// catalogue 116
func TestTheLeaseIsKeptUntilTheWorkHasEnded(t *testing.T) {
	t.Parallel()
	w := &world{}
	l, _, _ := w.lead(t)
	if err := l.Update(t.Context(), *held("")); !errors.Is(err, errWorking) || w.record.HolderIdentity != "one" {
		t.Errorf("released while at work: %v, held by %q", err, w.record.HolderIdentity)
	}
	l.idle()
	if err := l.Update(t.Context(), *held("")); err != nil || w.record.HolderIdentity != "" {
		t.Errorf("not released after it: %v, held by %q", err, w.record.HolderIdentity)
	}
}

// catalogue 108
func TestAFenceLetsNothingThroughOutsideOfATerm(t *testing.T) {
	t.Parallel()
	received := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		received <- string(text)
	}))
	t.Cleanup(server.Close)
	f := &Fence{}
	client := &http.Client{Transport: f.Transport(&http.Transport{DialContext: f.DialContext})}
	post := func() error {
		response, err := client.Post(server.URL, "text/plain", strings.NewReader("write"))
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	wantLost(t, post())
	w := &world{}
	_, term, _ := w.lead(t)
	f.Open(term)
	if err := post(); err != nil {
		t.Fatal(err)
	}
	<-received

	// Frozen between the look at the request and the write to the connection.
	c, err := f.DialContext(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	w.at += time.Minute
	_, err = c.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"))
	wantLost(t, err)
	wantLost(t, post())
	var lost *Lost
	if errors.As(post(), &lost); lost == nil || len(received) != 0 {
		t.Errorf("%d requests arrived after the term", len(received))
	}
}
