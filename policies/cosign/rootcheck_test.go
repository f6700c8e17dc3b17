package cosign_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
)

// catalogue 40
func TestATrustRootIsCheckedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	private, err := sigstore.New()
	if err != nil {
		t.Fatal(err)
	}
	good := private.TrustedRoot()
	past, err := private.TrustedRootDuring(time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	without := func(part string) []byte {
		var parts map[string]any
		if err := json.Unmarshal(good, &parts); err != nil || parts[part] == nil {
			t.Fatalf("there is no %s: %v", part, err)
		}
		delete(parts, part)
		text, err := json.Marshal(parts)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, c := range []struct {
		says string
		json []byte
		root policies.Root
		want string
	}{
		{"a good one", good, strictly, ""},
		{"one that ended", past, strictly, ""},
		{"one without what nobody demands", without("timestampAuthorities"), policies.Root{TransparencyLog: true}, ""},
		{"one without timestamps", without("timestampAuthorities"), strictly, "has no timestamp authority, which is demanded"},
		{"one without a log", without("tlogs"), strictly, "has no transparency log, which is demanded"},
		{"one without a certificate log", without("ctlogs"), strictly, "has no certificate log, which is demanded"},
		{"one without authorities", without("certificateAuthorities"), strictly, "has no certificate authority, which is demanded"},
		{"nothing", nil, strictly, "is missing"},
		{"half of one", good[:len(good)/2], strictly, "cannot be read; give it the trusted_root.json"},
		{"something else", []byte(`{"hunter2": true}`), strictly, "cannot be read; give it the trusted_root.json"},
	} {
		c.root.JSON = c.json
		err := cosign.CheckRoot(c.root)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.says, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.says, err, c.want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error quotes it: %v", c.says, err)
		}
	}
}
