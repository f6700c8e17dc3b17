package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"

	"golang.org/x/net/http2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/drift"
)

// catalogue 102
func TestWhichErrorsMayPass(t *testing.T) {
	t.Parallel()
	maps := schema.GroupResource{Resource: "configmaps"}
	unfit := apierrors.NewInternalError(errors.New("x"))
	unfit.ErrStatus.Message = "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema"
	for name, c := range map[string]struct {
		err    error
		passes bool
	}{
		"refused connection":         {&url.Error{Op: "Patch", URL: "https://api", Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}, true},
		"cut within the answer":      {fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), true},
		"stream cut in the answer":   {fmt.Errorf("reading: %w", http2.StreamError{Code: http2.ErrCodeInternal}), true},
		"no answer in time":          {fmt.Errorf("waiting: %w", context.DeadlineExceeded), true},
		"busy":                       {apierrors.NewTooManyRequests("busy", 1), true},
		"webhook that is down":       {apierrors.NewInternalError(errors.New("failed calling webhook")), true},
		"server that is not up":      {apierrors.NewServiceUnavailable("starting"), true},
		"newer commit":               {&url.Error{Op: "Patch", URL: "https://api", Err: context.Canceled}, false},
		"does not fit the schema":    {unfit, false},
		"refused":                    {apierrors.NewForbidden(maps, "a", errors.New("no")), false},
		"conflict":                   {apierrors.NewConflict(maps, "a", errors.New("changed")), false},
		"cannot be left to others":   {&notIgnorable{[]drift.Problem{{Field: "spec.selector.app"}}}, false},
		"our own word":               {errors.New("it changed each time it was to be written"), false},
		"our own word about another": {fmt.Errorf("leaving fields to others: %w", apierrors.NewServiceUnavailable("starting")), true},
	} {
		if got := passing(c.err); got != c.passes {
			t.Errorf("%s: %v may pass: %t", name, c.err, got)
		}
	}
}

// What waits to be asked again leaves the API server to others: here there is one
// slot, and what fails goes on failing until the other item had it.
func TestWaitingToAskAgainHoldsNoSlot(t *testing.T) {
	t.Parallel()
	c := &Cluster{ctx: t.Context(), requests: make(chan struct{}, 1), trials: make(chan struct{}, 1)}
	asked := make(chan struct{})
	err := eachTrial(t.Context(), c, []bool{true, false}, func(ctx context.Context, fails bool) {
		if !fails {
			close(asked)
			return
		}
		_, err := persist(ctx, func() (any, error) {
			select {
			case <-asked:
				return nil, nil
			default:
				return nil, apierrors.NewServiceUnavailable("starting")
			}
		})
		if err != nil {
			t.Error("the other item had no slot:", err)
		}
	})
	if err != nil || len(c.requests)+len(c.trials) > 0 {
		t.Errorf("got %v, and %d slots are held", err, len(c.requests)+len(c.trials))
	}
}
