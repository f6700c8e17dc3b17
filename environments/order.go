package environments

import "slices"

// Environment returns the environment of a name.
func (p Pipeline) Environment(name string) (Environment, bool) {
	for _, e := range p.Spec.Environments {
		if e.Name == name {
			return e, true
		}
	}
	return Environment{}, false
}

// Order is the environments in the order in which a digest reaches them; among
// equals, as they are written. It is never partial: Load refuses cycles.
func (p Pipeline) Order() []Environment {
	order, _ := sortByAfter(p.Spec.Environments)
	return order
}

// First is the environment that nothing comes before. It alone follows tags.
func (p Pipeline) First() Environment {
	for _, e := range p.Spec.Environments {
		if len(e.After) == 0 {
			return e
		}
	}
	return Environment{}
}

// Next is the environments that come directly after one, in order. A digest
// enters them only once it has passed everything that their After names.
func (p Pipeline) Next(environment string) []Environment {
	var next []Environment
	for _, e := range p.Order() {
		if slices.Contains(e.After, environment) {
			next = append(next, e)
		}
	}
	return next
}

// sortByAfter puts each environment behind those it comes after. Those in a
// cycle, or behind one, are returned apart.
func sortByAfter(environments []Environment) (order, stuck []Environment) {
	placed := map[string]bool{}
	left := slices.Clone(environments)
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(e Environment) bool {
			return !slices.ContainsFunc(e.After, func(name string) bool { return !placed[name] })
		})
		if i < 0 {
			return order, left
		}
		order = append(order, left[i])
		placed[left[i].Name] = true
		left = slices.Delete(left, i, i+1)
	}
	return order, nil
}
