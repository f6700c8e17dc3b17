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
