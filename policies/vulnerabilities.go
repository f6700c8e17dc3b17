package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/environments"
)

// VulnerabilityDemand is asked of the result of a vulnerability scan.
type VulnerabilityDemand struct {
	// Max is how many findings of a severity ("critical", "high", …) are
	// tolerated; a severity that is not named is not looked at.
	Max map[string]int
	// MaxAge is how old the scan may be; 0 asks nothing.
	MaxAge time.Duration
}

// severities are the words of scanners, and what they mean here. A finding with
// another word, or with none, makes a scan one that is not understood.
var severities = map[string]string{
	"critical": "critical", "high": "high", "medium": "medium", "moderate": "medium",
	"low": "low", "negligible": "negligible", "unknown": "unknown",
}

// clockSkew is how far the clock of a scanner may be ahead of ours.
const clockSkew = 5 * time.Minute

func (p *ruleParser) vulnerabilities(at, uri string, d VulnerabilityDemand) *VulnerabilityDemand {
	if uri != typeVulnerability {
		p.report(at, "is asked of the type %q, which is no vulnerability scan; its type is vuln", Clip(uri, 200))
	}
	if len(d.Max) == 0 && d.MaxAge == 0 {
		p.report(at, "asks nothing; name a severity under max, or maxAge, or take it out")
	}
	if d.MaxAge < 0 {
		p.report(at+".maxAge", "%s is negative; write how old a scan may be, as in \"168h\"", d.MaxAge)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Max)) {
		switch {
		case severities[name] != name:
			p.report(at+".max", "%q is no severity; critical, high, medium, low, negligible and unknown are", Clip(name, 60))
		case d.Max[name] < 0:
			p.report(at+".max."+name, "%d is negative; write how many findings are tolerated, 0 for none", d.Max[name])
		}
	}
	d.Max = maps.Clone(d.Max)
	return &d
}

func (d VulnerabilityDemand) demanded() (out []string) {
	for _, name := range slices.SortedFunc(maps.Keys(d.Max), bySeverity) {
		out = append(out, fmt.Sprintf("at most %d %s findings", d.Max[name], name))
	}
	if d.MaxAge > 0 {
		out = append(out, fmt.Sprintf("an age of at most %s", environments.Duration(d.MaxAge)))
	}
	return out
}

// unmet says why a scan does not meet the demand; empty if it does.
func (d VulnerabilityDemand) unmet(predicate any, now time.Time) string {
	if d.MaxAge > 0 {
		finished, err := time.Parse(time.RFC3339, textAt(predicate, "metadata", "scanFinishedOn"))
		age := now.Sub(finished)
		switch {
		case err != nil:
			return "it does not say when the scan ended (metadata.scanFinishedOn)"
		case age < -clockSkew:
			return fmt.Sprintf("its scan ended in the future, at %s", finished.UTC().Format(time.RFC3339))
		case age > d.MaxAge:
			return fmt.Sprintf("its scan ended at %s, and may be %s old at most", finished.UTC().Format(time.RFC3339), environments.Duration(d.MaxAge))
		}
	}
	if len(d.Max) == 0 {
		return ""
	}
	counts, err := countFindings(at(predicate, "scanner", "result"))
	if err != nil {
		return err.Error()
	}
	for _, name := range slices.SortedFunc(maps.Keys(d.Max), bySeverity) {
		if counts[name] > d.Max[name] {
			return fmt.Sprintf("it found %d of severity %s, and at most %d are tolerated", counts[name], name, d.Max[name])
		}
	}
	return ""
}

// countFindings counts by severity in what Trivy or Grype wrote, or in a plain
// list of findings with a "severity" each. It never guesses: a form that it
// does not know has no count.
func countFindings(result any) (map[string]int, error) {
	counts := map[string]int{}
	count := func(list any, severity func(any) any) error {
		if list == nil {
			return nil
		}
		findings, ok := list.([]any)
		if !ok {
			return fmt.Errorf("its findings are no list")
		}
		for _, finding := range findings {
			word, _ := severity(finding).(string)
			known, ok := severities[strings.ToLower(word)]
			if !ok {
				return fmt.Errorf("it has a finding of severity %q, which is not known", Clip(word, 60))
			}
			counts[known]++
		}
		return nil
	}
	lower := func(finding any) any { return at(finding, "severity") }
	switch r := result.(type) {
	case []any:
		return counts, count(r, lower)
	case map[string]any:
		results, trivy := r["Results"]
		matches, grype := r["matches"]
		plain, listed := r["vulnerabilities"]
		switch {
		case trivy && !grype && !listed:
			targets, ok := results.([]any)
			if !ok || len(targets) == 0 {
				return nil, fmt.Errorf("its result names nothing that was scanned")
			}
			for _, target := range targets {
				if _, ok := target.(map[string]any); !ok {
					return nil, fmt.Errorf("its result names nothing that was scanned")
				}
				if err := count(at(target, "Vulnerabilities"), func(f any) any { return at(f, "Severity") }); err != nil {
					return nil, err
				}
			}
			return counts, nil
		case grype && !trivy && !listed && matches != nil:
			return counts, count(matches, func(f any) any { return at(f, "vulnerability", "severity") })
		case listed && !trivy && !grype && plain != nil:
			return counts, count(plain, lower)
		}
	}
	return nil, fmt.Errorf("its result is in no form that is known here (Trivy, Grype, or a list of findings with a severity each)")
}

// bySeverity sorts the worst first.
func bySeverity(a, b string) int {
	order := []string{"critical", "high", "medium", "low", "negligible", "unknown"}
	return slices.Index(order, a) - slices.Index(order, b)
}
