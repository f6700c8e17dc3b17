package registry

import (
	"slices"
	"testing"

	"github.com/Masterminds/semver/v3"
)

func TestTheOrderOfTheListDoesNotMatter(t *testing.T) {
	t.Parallel()
	any, err := semver.NewConstraint("*")
	if err != nil {
		t.Fatal(err)
	}
	tags := []string{"v1.4.0", "1.4.0", "1.3.9", "main", "v1.3.0"}
	for range 2 {
		if tag, versions := pick(tags, any); tag != "1.4.0" || versions != 4 {
			t.Errorf("of %v: %s, and %d versions", tags, tag, versions)
		}
		slices.Reverse(tags)
	}
}
