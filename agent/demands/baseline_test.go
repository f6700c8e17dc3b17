package demands

import (
	"testing"

	"github.com/pawl-dev/pawl/policies"
)

// Policies are told every level once, in the same order whoever named it: the
// agent's configuration, this commit or the one that was accepted last.
func TestPoliciesAreToldEachLevelOnce(t *testing.T) {
	t.Parallel()
	none, err := policies.NewTightening(nil)
	if err != nil {
		t.Fatal(err)
	}
	base := &Baseline{
		Trust: none, Levels: map[string]Level{"pci": {Trust: none}, "soc": {Trust: none}},
		Environments: map[string]EnvironmentBaseline{"dev": {Level: "soc"}},
	}
	of, err := base.alone("dev")
	for _, level := range []string{"", "pci", "pci", "soc"} {
		if err == nil {
			of, err = base.addLevel(of, "dev", level)
		}
	}
	if err != nil || of.level() != "pci+soc" {
		t.Errorf("%q, %v, want pci+soc", of.level(), err)
	}
	if text := (asked{}).level(); text != "" {
		t.Errorf("%q where there is no level", text)
	}
}
