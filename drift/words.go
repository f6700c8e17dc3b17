package drift

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/environments"
)

// ownPrefix is what all labels and annotations of the agent begin with.
const ownPrefix = "pawl.dev/"

// labelReadsMetrics is what a namespace bears from which metrics may be read, see
// the NetworkPolicy in deploy/.
const labelReadsMetrics = "pawl.dev/reads-metrics"

// wordsOf are the labels and annotations of the agent that an object may have in
// git. What it says of the mark is overwritten.
var wordsOf = map[string][]string{
	"annotations": {AnnotationAdopt, AnnotationIgnore, AnnotationPrune, AnnotationRecreate},
	"labels":      {LabelAgent, AnnotationPrune, labelReadsMetrics, LabelTarget},
}

// unknownWords finds labels and annotations that look as if the agent went by
// them, and that it never looks at.
func unknownWords(id ObjectID, meta map[string]any) []Problem {
	var problems []Problem
	for _, field := range []string{"annotations", "labels"} {
		values, _ := meta[field].(map[string]any)
		known := wordsOf[field]
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if !strings.HasPrefix(name, ownPrefix) || slices.Contains(known, name) {
				continue
			}
			hint := environments.DidYouMean(name, known)
			if field == "labels" && slices.Contains(wordsOf["annotations"], name) {
				hint = "; it is an annotation"
			}
			problems = append(problems, Problem{Object: id, Field: "metadata." + field + "[" + name + "]",
				Reason: fmt.Sprintf("is not known; the %s of pawl are %s%s", field, strings.Join(known, ", "), hint)})
		}
	}
	return problems
}
