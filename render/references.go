package render

import (
	"fmt"

	"sigs.k8s.io/kustomize/api/types"
)

// role is what kustomize does with what a kustomization names.
type role int

const (
	aResource  role = iota // a manifest, or the folder of another kustomization
	aComponent             // the folder of a component
	aPlugin                // a file that configures a built-in plugin, or the configuration itself
	aPatch                 // a patch's file
	aPatchText             // a patch's file, or the patch itself
	aYAML                  // another file that kustomize reads as YAML
	aSource                // a file whose content is data: "path" or "key=path"
	aData                  // the same by path alone
)

// reference is one place where a kustomization names something outside itself.
type reference struct {
	field string // "resources[2]"
	value string
	role  role
}

// references lists all that a kustomization names, in the order of its fields.
// It reads kustomize's own type, decoded by kustomize's own decoder, so that
// the two cannot disagree about what a file says. A test keeps it complete.
func references(k *types.Kustomization) []reference {
	var all []reference
	add := func(r role, value, format string, args ...any) {
		all = append(all, reference{fmt.Sprintf(format, args...), value, r})
	}
	list := func(r role, field string, values []string) {
		for i, v := range values {
			add(r, v, "%s[%d]", field, i)
		}
	}
	list(aResource, "resources", k.Resources)
	list(aResource, "bases", k.Bases)
	list(aComponent, "components", k.Components)
	list(aPlugin, "generators", k.Generators)
	list(aPlugin, "transformers", k.Transformers)
	list(aPlugin, "validators", k.Validators)
	list(aYAML, "configurations", k.Configurations)
	list(aYAML, "crds", k.Crds)
	if p := k.OpenAPI["path"]; p != "" {
		add(aYAML, p, "openapi.path")
	}
	for i, p := range k.Patches {
		if p.Path != "" {
			add(aPatch, p.Path, "patches[%d].path", i)
		}
	}
	for i, p := range k.PatchesJson6902 {
		if p.Path != "" {
			add(aPatch, p.Path, "patchesJson6902[%d].path", i)
		}
	}
	for i, p := range k.PatchesStrategicMerge {
		add(aPatchText, string(p), "patchesStrategicMerge[%d]", i)
	}
	for i, r := range k.Replacements {
		if r.Path != "" {
			add(aYAML, r.Path, "replacements[%d].path", i)
		}
	}
	sources := func(field string, s types.KvPairSources) {
		list(aSource, field+".files", s.FileSources)
		list(aData, field+".envs", s.EnvSources)
		if s.EnvSource != "" {
			add(aData, s.EnvSource, "%s.env", field)
		}
	}
	for i, g := range k.ConfigMapGenerator {
		sources(fmt.Sprintf("configMapGenerator[%d]", i), g.KvPairSources)
	}
	for i, g := range k.SecretGenerator {
		sources(fmt.Sprintf("secretGenerator[%d]", i), g.KvPairSources)
	}
	return all
}

// helmField is the field by which a kustomization asks for helm, or "".
func helmField(k *types.Kustomization) string {
	switch {
	case len(k.HelmCharts) > 0:
		return "helmCharts"
	case k.HelmGlobals != nil:
		return "helmGlobals"
	case len(k.HelmChartInflationGenerator) > 0:
		return "helmChartInflationGenerator"
	}
	return ""
}
