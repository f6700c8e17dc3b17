package rego

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Policy is a policy that is ready to be evaluated, by several at the same
// time. Pool.Compile makes one. What it was compiled to stays in the processes
// that evaluate it.
type Policy struct {
	pool  *Pool
	order compileOrder
	reads [][]string
}

// Name is what reports call the policy.
func (p *Policy) Name() string { return p.order.Name }

// ID identifies what the policy says and its parameters, "sha256:…", whatever
// its name and its tests.
func (p *Policy) ID() string { return p.order.ID }

// newOrder is what it takes to compile a policy. The ID is made here, of the
// files as they are: no child is believed it.
func newOrder(name string, files map[string][]byte, parameters map[string]any) (compileOrder, error) {
	o := compileOrder{Name: name, Files: maps.Clone(files)}
	maps.DeleteFunc(o.Files, func(file string, _ []byte) bool { return isTest(file) })
	if parameters == nil {
		parameters = map[string]any{}
	}
	var err error
	if o.Parameters, err = json.Marshal(parameters); err != nil {
		return o, fmt.Errorf("the parameters cannot be written as JSON: %w", err)
	}
	h := sha256.New()
	for _, file := range slices.Sorted(maps.Keys(o.Files)) {
		fmt.Fprintf(h, "%q %d\n", file, len(o.Files[file]))
		h.Write(o.Files[file])
	}
	fmt.Fprintf(h, "parameters %s", o.Parameters)
	o.ID = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return o, nil
}
