package promote

// Found is what a tracked tag points to.
type Found struct {
	Digest string // "sha256:…", computed from the manifest's bytes
	Tag    string // the tag itself; with semver, the one chosen
}
