package policies

import "slices"

// Wanted is which attestations of an image are worth looking for. The zero
// value is none.
type Wanted struct {
	// Types are the URIs of those that rules demand.
	Types []string
	// Every are those of Types of which all are to be known.
	Every []string
	// All says that those of all types are to be known, since policies read them.
	All bool
}

// Wanted returns what all rules that cover a repository want together.
func (t Trust) Wanted(repository string) Wanted {
	var w Wanted
	for _, r := range t.covering(repository) {
		w.All = t.all
		for _, a := range r.attestations {
			w.Types = append(w.Types, a.Type)
			if a.Every {
				w.Every = append(w.Every, a.Type)
			}
		}
	}
	slices.Sort(w.Types)
	slices.Sort(w.Every)
	w.Types, w.Every = slices.Compact(w.Types), slices.Compact(w.Every)
	return w
}
