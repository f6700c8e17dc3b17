// Package demands reads what is demanded of a release, and gathers what is known
// to meet it; policies.Judge decides.
//
//	Baselines  the agent's configuration, its keys, trust roots and policies ─→ Baseline
//	Demand     pawl.yaml of one commit, its keys and policies                ─→ Demanded
//	Gatherer   both, and what was demanded at the commit that was accepted
//	           last; evidence, commits and approvals ─→ policies.Demands, policies.Findings
//
// A demand that cannot be read is unknown and never taken for none.
package demands
