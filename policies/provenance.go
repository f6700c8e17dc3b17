package policies

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// ProvenanceDemand is asked of SLSA provenance, version 0.2 or 1. An empty field asks nothing.
type ProvenanceDemand struct {
	Builder string // the builder's id, exactly, or with "*" for any text without "/"
	Source  string // the source repository: "https://github.com/acme/web"
	Ref     string // the git ref that was built: "refs/heads/main", "*" as in Builder
}

// provenanceDemand is a demand as NewTrust understood it.
type provenanceDemand struct {
	ProvenanceDemand
	builder, ref *regexp.Regexp // nil asks nothing
	source       string         // in its normal form
}

func (p *ruleParser) provenance(at, uri string, d ProvenanceDemand) *provenanceDemand {
	out := &provenanceDemand{ProvenanceDemand: d}
	if uri != typeProvenance1 && uri != typeProvenance02 {
		p.report(at, "is asked of the type %q, which is no SLSA provenance; its types are slsaprovenance1 and slsaprovenance02", Clip(uri, 200))
	}
	if d == (ProvenanceDemand{}) {
		p.report(at, "asks nothing; name a builder, a source or a ref, or take it out")
	}
	starred := func(field, s string) *regexp.Regexp {
		if s == "" {
			return nil
		}
		if strings.Trim(s, "*") == "" {
			p.report(at+field, "%q matches whatever there is; take it out if nothing is asked", s)
		}
		parts := strings.Split(s, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		return regexp.MustCompile(`\A` + strings.Join(parts, `[^/]*`) + `\z`)
	}
	out.builder, out.ref = starred(".builder", d.Builder), starred(".ref", d.Ref)
	if d.Source != "" {
		s, err := parseSource(d.Source)
		switch {
		case err != nil:
			p.report(at+".source", "%q %w; write it as in \"https://github.com/acme/web\"", Clip(d.Source, 200), err)
		case s.ref != "":
			p.report(at+".source", "%q names a ref; write that under ref", Clip(d.Source, 200))
		}
		out.source = s.repository
	}
	return out
}

func (d provenanceDemand) demanded() (out []string) {
	if d.Builder != "" {
		out = append(out, "builder "+d.Builder)
	}
	if d.Source != "" {
		out = append(out, "source "+d.Source)
	}
	if d.Ref != "" {
		out = append(out, "ref "+d.Ref)
	}
	return out
}

// unmet says why provenance does not meet the demand; empty if it does.
func (d provenanceDemand) unmet(uri string, predicate any) string {
	if d.builder != nil {
		builder := textAt(predicate, "runDetails", "builder", "id")
		if uri == typeProvenance02 {
			builder = textAt(predicate, "builder", "id")
		}
		switch {
		case builder == "":
			return "it names no builder, and " + d.Builder + " is demanded"
		case !d.builder.MatchString(builder):
			return fmt.Sprintf("its builder is %q, and %s is demanded", Clip(builder, 200), d.Builder)
		}
	}
	if d.source == "" && d.ref == nil {
		return ""
	}
	from, err := sourceOf(uri, predicate)
	switch {
	case err != nil:
		return err.Error()
	case d.source != "" && from.repository != d.source:
		return fmt.Sprintf("its source is %q, and %s is demanded", Clip(from.repository, 200), d.Source)
	case d.ref != nil && from.ref == "":
		return "it names no ref, and " + d.Ref + " is demanded"
	case d.ref != nil && !d.ref.MatchString(from.ref):
		return fmt.Sprintf("its ref is %q, and %s is demanded", Clip(from.ref, 200), d.Ref)
	}
	return ""
}

// source is what was built.
type source struct {
	repository string // in its normal form: "https://github.com/acme/web"
	ref        string // empty if none was named
	commit     string // empty if none was named
}

// GitHub's workflows say what they build in one of these types.
var workflowTypes = []string{
	"https://actions.github.io/buildtypes/workflow/v1",
	"https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
}

// sourceOf is the one source that provenance names, in however many places.
// Where the places do not agree, nobody can tell what was built: a build may
// well have fetched other repositories, but then provenance must not be judged
// by one that was picked from among them.
func sourceOf(uri string, predicate any) (source, error) {
	var named []source
	name := func(address, ref string, digest any) error {
		s, err := parseSource(address)
		if err != nil {
			return fmt.Errorf("its source %q %w", Clip(address, 200), err)
		}
		if ref != "" && s.ref != "" && ref != s.ref {
			return fmt.Errorf("it contradicts itself: it names the refs %q and %q", Clip(s.ref, 100), Clip(ref, 100))
		}
		s.ref = cmp.Or(s.ref, ref)
		s.commit = cmp.Or(textAt(digest, "gitCommit"), textAt(digest, "sha1"))
		named = append(named, s)
		return nil
	}
	dependencies := func(list any) error {
		entries, _ := list.([]any)
		for _, entry := range entries {
			// Others are what a build uses, such as its base images.
			if address := textAt(entry, "uri"); strings.HasPrefix(address, "git+") {
				if err := name(address, "", at(entry, "digest")); err != nil {
					return err
				}
			}
		}
		return nil
	}
	var err error
	switch uri {
	case typeProvenance02:
		if config := at(predicate, "invocation", "configSource"); textAt(config, "uri") != "" {
			err = name(textAt(config, "uri"), "", at(config, "digest"))
		}
		err = cmp.Or(err, dependencies(at(predicate, "materials")))
	case typeProvenance1:
		build := at(predicate, "buildDefinition")
		if workflow := at(build, "externalParameters", "workflow"); workflow != nil && slices.Contains(workflowTypes, textAt(build, "buildType")) {
			err = name(textAt(workflow, "repository"), textAt(workflow, "ref"), nil)
		}
		err = cmp.Or(err, dependencies(at(build, "resolvedDependencies")))
	}
	if err != nil {
		return source{}, err
	}
	if len(named) == 0 {
		return source{}, errors.New("it names no source repository")
	}
	one := named[0]
	for _, other := range named[1:] {
		switch {
		case other.repository != one.repository:
			return source{}, fmt.Errorf("it is ambiguous: it names the sources %q and %q", Clip(one.repository, 150), Clip(other.repository, 150))
		case other.ref != "" && one.ref != "" && other.ref != one.ref:
			return source{}, fmt.Errorf("it contradicts itself: it names the refs %q and %q", Clip(one.ref, 100), Clip(other.ref, 100))
		case other.commit != "" && one.commit != "" && other.commit != one.commit:
			return source{}, fmt.Errorf("it contradicts itself: it names the commits %q and %q", Clip(one.commit, 60), Clip(other.commit, 60))
		}
		one.ref, one.commit = cmp.Or(one.ref, other.ref), cmp.Or(one.commit, other.commit)
	}
	return one, nil
}

// parseSource reads "git+https://github.com/acme/web.git@refs/heads/main" into
// its normal form. Only the host is the same in upper case. BuildKit writes the
// ref, and a folder after it, as a fragment.
func parseSource(s string) (source, error) {
	u, err := url.Parse(strings.TrimPrefix(s, "git+"))
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh" && u.Scheme != "git":
		return source{}, errors.New("is no address of a repository")
	case u.User != nil && u.Scheme != "ssh":
		return source{}, errors.New("has a user in it")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "%"):
		return source{}, errors.New("has more in it than a host and a path")
	}
	repository, ref, _ := strings.Cut(u.Path, "@")
	if u.Fragment != "" {
		if ref != "" {
			return source{}, errors.New("names a ref twice")
		}
		ref, _, _ = strings.Cut(u.Fragment, ":")
	}
	repository = strings.TrimSuffix(strings.TrimRight(repository, "/"), ".git")
	if repository == "" || repository != path.Clean(repository) || strings.ContainsAny(repository, "\\*") {
		return source{}, errors.New("has no plain path to a repository")
	}
	return source{repository: u.Scheme + "://" + strings.ToLower(u.Host) + repository, ref: ref}, nil
}
