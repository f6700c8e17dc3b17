package policies

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/environments"
)

// Types of predicates that conditions know.
const (
	typeProvenance02  = "https://slsa.dev/provenance/v0.2"
	typeProvenance1   = "https://slsa.dev/provenance/v1"
	typeSPDX          = "https://spdx.dev/Document"
	typeCycloneDX     = "https://cyclonedx.org/bom"
	typeVulnerability = "https://cosign.sigstore.dev/attestation/vuln/v1"
)

// predicateTypes are the short names of cosign attest --type. Types are
// compared as a whole, as cosign does: "https://spdx.dev/Document/v2.3", which
// other tools write, is another type than "spdx" and demanded by its URI.
var predicateTypes = map[string]string{
	"slsaprovenance":   typeProvenance02, // not version 1: so cosign writes it
	"slsaprovenance02": typeProvenance02,
	"slsaprovenance1":  typeProvenance1,
	"spdx":             typeSPDX,
	"spdxjson":         typeSPDX,
	"cyclonedx":        typeCycloneDX,
	"vuln":             typeVulnerability,
	"link":             "https://in-toto.io/Link/v1",
	"openvex":          "https://openvex.dev/ns",
	"custom":           "https://cosign.sigstore.dev/attestation/v1",
}

// PredicateType is the URI of a type that is given by cosign's short name, or
// by its URI.
func PredicateType(name string) (uri string, err error) {
	if uri, ok := predicateTypes[name]; ok {
		return uri, nil
	}
	if strings.Contains(name, ":") {
		u, err := url.Parse(name)
		if err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return "", fmt.Errorf("%q is no URI; write it as in \"https://slsa.dev/provenance/v1\"", Clip(name, 200))
		}
		return name, nil
	}
	known := slices.Sorted(maps.Keys(predicateTypes))
	if like := environments.DidYouMean(name, known); like != "" {
		return "", fmt.Errorf("%q is no type of attestation%s Other types are given by their URI", Clip(name, 200), like)
	}
	return "", fmt.Errorf("%q is no type of attestation; give its URI, or one of %s", Clip(name, 200), strings.Join(known, ", "))
}

// PredicateName is what reports call a type: cosign's short name, or else the
// URI. Where there are several names it is the plainest that is unambiguous.
func PredicateName(uri string) string {
	switch uri {
	case typeProvenance02:
		return "slsaprovenance02"
	case typeSPDX:
		return "spdx"
	}
	for name, known := range predicateTypes {
		if known == uri {
			return name
		}
	}
	return uri
}
