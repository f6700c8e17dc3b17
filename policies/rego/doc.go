// Package rego evaluates policies that are written in Rego with the conventions
// of conftest: rules named deny, violation and warn, and those with such a name
// and a suffix (deny_privileged), hold messages, and any message of a deny or
// violation rule denies.
//
// It differs from conftest where that would let something pass unnoticed. All
// packages of a policy count, not "main" alone. There are no exception rules.
// The input is the whole release with what is known of it (Document), not one
// file. And whatever is not clearly an answer denies: a rule that is undefined
// or no set of messages, an error, a timeout, a field or file that is not there.
//
// Policies compute from their input alone: there is no network, no clock, no
// chance and no environment, so the same release is judged alike everywhere.
// They do so in sealed processes (internal/sealed), which are killed where OPA
// does not stop. There is no way to evaluate a policy in the agent's.
package rego
