package agent

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/mounted"
)

// Bounds of how often something is asked that may have moved: often enough to
// be of use, and not so often that GitHub or a registry shuts us out.
const (
	MinPoll    = time.Second
	MaxPoll    = time.Hour
	MinTagPoll = time.Second
	MaxTagPoll = 24 * time.Hour
)

var (
	repositoryNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+$`)
	branchNames     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./+#@=-]*$`)
)

// check reports what the schema cannot know.
func (c Config) check(doc *environments.Document) {
	checkURL(doc, "repository.url", c.Repository.URL)
	if c.Repository.Name == "" {
		if u, err := url.Parse(c.Repository.URL); err == nil && u.Host != "" && repositoryName(c.Repository.URL) == "" {
			doc.Report("repository.name", "is missing: repository.url does not end in an owner and a name; write it like acme/shop")
		}
	} else if !repositoryNames.MatchString(c.Repository.Name) {
		doc.Report("repository.name", "%q is no repository; write owner and name, like acme/shop", c.Repository.Name)
	}
	if b := c.Repository.Branch; b != "" && (!branchNames.MatchString(b) || strings.Contains(b, "..") || strings.Contains(b, "//") ||
		strings.Contains(b, "@{") || strings.HasSuffix(b, "/") || strings.HasSuffix(b, ".") || strings.HasSuffix(b, ".lock")) {
		doc.Report("repository.branch", "%q is no branch; write its name without refs/heads/, like main", b)
	}
	checkPoll(doc, "repository.poll", c.Repository.Poll, MinPoll, MaxPoll)
	checkPoll(doc, "tags.poll", c.Tags.Poll, MinTagPoll, MaxTagPoll)
	checkURL(doc, "github.api", c.GitHub.API)
	c.checkEnvironments(doc)
	c.BaselineConfig.Check(doc)
	c.checkRender(doc)
	c.checkRegistries(doc)
	c.Retries.check(doc)
	c.Leadership.check(doc)
	checkListen(doc, "http.public", c.HTTP.Public)
	checkListen(doc, "http.internal", c.HTTP.Internal)
	if d := c.withDefaults().HTTP; d.Public == d.Internal {
		doc.Report("http.internal", "%q is where http.public listens already; give each its own", d.Internal)
	}
}

// checkURL never quotes what it refuses: credentials may stand in it.
func checkURL(doc *environments.Document, path, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		doc.Report(path, "is no address; write one like https://github.com/acme/shop.git")
	case u.User != nil:
		doc.Report(path, "has credentials in it; write them to a file and name that under github or git")
	case u.RawQuery != "" || u.Fragment != "":
		doc.Report(path, `has a "?" or "#" in it; write the address alone`)
	case u.Scheme == "http" && !onThisMachine(u.Hostname()):
		doc.Report(path, "is plain HTTP, which would send the credentials unencrypted; write https")
	case u.Scheme != "https" && u.Scheme != "http":
		doc.Report(path, "has the scheme %q; only https is spoken", u.Scheme)
	}
}

func onThisMachine(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// repositoryName takes owner and name from the address of a repository.
func repositoryName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	name := strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
	if !repositoryNames.MatchString(name) {
		return ""
	}
	return name
}

func checkPoll(doc *environments.Document, path string, poll environments.Duration, least, most time.Duration) {
	if d := time.Duration(poll); d != 0 && (d < least || d > most) {
		doc.Report(path, "%s is out of bounds; write %s to %s", poll, environments.Duration(least), environments.Duration(most))
	}
}

func checkListen(doc *environments.Document, path, address string) {
	if address == "" {
		return
	}
	_, port, err := net.SplitHostPort(address)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n > 65535 {
		doc.Report(path, "%q is nowhere to listen; write it like :8080 or 127.0.0.1:8080", address)
	}
}

func (c Config) checkEnvironments(doc *environments.Document) {
	seen := map[string]int{}
	for i, e := range c.Environments {
		at := fmt.Sprintf("environments[%d]", i)
		c.CheckLevel(doc, at+".level", e.Level)
		if first, twice := seen[e.Name]; twice && e.Name != "" {
			doc.Report(at+".name", "%q is the name of environments[%d] already; an environment has one cluster", e.Name, first)
			continue
		}
		seen[e.Name] = i
		if e.Context != "" && e.Kubeconfig == "" {
			doc.Report(at+".context", "is of no use without kubeconfig")
		}
		e.checkReach(doc, at, c.withDefaults().Namespace)
	}
}

var (
	namespacePatterns = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|[a-z0-9][a-z0-9-]{0,61}\*)$`)
	kindPatterns      = regexp.MustCompile(`^(\*|[A-Z][A-Za-z0-9]{0,62})(\.[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?)?$`)
	accountNames      = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
)

// checkReach checks what an environment may write; own is the agent's namespace.
func (e EnvironmentConfig) checkReach(doc *environments.Document, at, own string) {
	for i, n := range e.Namespaces {
		here := fmt.Sprintf("%s.namespaces[%d]", at, i)
		switch {
		case n == own:
			doc.Report(here, "%q is the agent's own, which no commit reaches; take it out", n)
		case !namespacePatterns.MatchString(n):
			doc.Report(here, "%q is no namespace; write one like shop, or shop-* for all that begin so", n)
		}
	}
	for name, list := range map[string][]string{"allow": e.Kinds.Allow, "deny": e.Kinds.Deny, "cluster": e.Kinds.Cluster} {
		for i, k := range list {
			if !kindPatterns.MatchString(k) {
				doc.Report(fmt.Sprintf("%s.kinds.%s[%d]", at, name, i), "%q is no kind; write it with its group, like Secret, Deployment.apps or *.acme.io", k)
			}
		}
	}
	if a := e.ServiceAccount; a != "" {
		namespace, _, _ := strings.Cut(a, "/")
		switch {
		case !accountNames.MatchString(a):
			doc.Report(at+".serviceAccount", "%q is no service account; write namespace/name, like shop/deployer", a)
		case namespace == own:
			doc.Report(at+".serviceAccount", "%q is in the agent's own namespace; make one in a namespace of the application", a)
		}
	}
}

func (c Config) checkRegistries(doc *environments.Document) {
	seen := map[string]int{}
	for i, r := range c.Registries {
		at := fmt.Sprintf("registries[%d]", i)
		host := strings.ToLower(r.Host)
		if first, twice := seen[host]; twice && host != "" {
			doc.Report(at+".host", "%q stands under registries[%d] already", r.Host, first)
			continue
		}
		seen[host] = i
		if strings.ContainsAny(r.Host, "/@?# ") {
			doc.Report(at+".host", "%q is no registry; write its name alone, like ghcr.io", r.Host)
		}
		if r.Insecure && r.CA != "" {
			doc.Report(at+".ca", "is of no use with insecure; choose one")
		}
		if name, _, err := net.SplitHostPort(r.Host); err != nil || !onThisMachine(name) {
			if r.Insecure && r.Credentials != nil && !onThisMachine(r.Host) {
				doc.Report(at+".credentials", "would be sent unencrypted; take insecure out")
			}
		}
	}
}

// CheckFiles looks at every file that the configuration names, so that a
// missing or empty one stops the start and not the first use. Secrets are read
// again with each use, so that they can be renewed without a restart.
func (c Config) CheckFiles(file string) error {
	doc := environments.NewDocument(file)
	secret := func(path string, s *SecretFile) {
		if s == nil {
			return
		}
		if _, err := s.Read(); err != nil {
			doc.Report(path+".file", "%v", err)
		}
	}
	secret("github.token", c.GitHub.Token)
	if c.GitHub.App != nil {
		secret("github.app.key", &c.GitHub.App.Key)
	}
	if c.GitHub.Webhook != nil {
		secret("github.webhook.secret", &c.GitHub.Webhook.Secret)
	}
	if c.Git != nil {
		secret("git.password", &c.Git.Password)
	}
	checkCA(doc, "repository.ca", c.Repository.CA)
	for i, r := range c.Registries {
		checkCA(doc, fmt.Sprintf("registries[%d].ca", i), r.CA)
		if r.Credentials != nil {
			secret(fmt.Sprintf("registries[%d].credentials.password", i), &r.Credentials.Password)
		}
	}
	for i, e := range c.Environments {
		checkReadable(doc, fmt.Sprintf("environments[%d].kubeconfig", i), e.Kubeconfig)
	}
	for i, s := range c.PullSecrets {
		checkReadable(doc, fmt.Sprintf("pullSecrets[%d].file", i), s.File)
	}
	c.BaselineConfig.CheckFiles(doc)
	return doc.Err()
}

func checkReadable(doc *environments.Document, path, file string) []byte {
	if file == "" {
		return nil
	}
	data, err := mounted.Read(file)
	if err != nil {
		doc.Report(path, "cannot be read: %v", err)
	}
	return data
}

func checkCA(doc *environments.Document, path, file string) {
	data := checkReadable(doc, path, file)
	if len(data) == 0 {
		return
	}
	block, _ := pem.Decode(data)
	if block == nil || !x509.NewCertPool().AppendCertsFromPEM(data) {
		doc.Report(path, "%s holds no certificate in PEM", file)
	}
}

// JSONSchemaProperty is read by the schema's writer: names are labels.
func (EnvironmentConfig) JSONSchemaProperty(field string) any {
	if field == "name" {
		return environments.Label("")
	}
	return nil
}

// JSONSchemaProperty is read by the schema's writer: a namespace is a label.
func (Config) JSONSchemaProperty(field string) any {
	if field == "namespace" {
		return environments.Label("")
	}
	return nil
}

// JSONSchemaExtend is read by the schema's writer.
func (GitHubConfig) JSONSchemaExtend(s *jsonschema.Schema) {
	environments.ExactlyOne(s, "token", "app")
}

// JSONSchemaExtend is read by the schema's writer.
func (PullSecretConfig) JSONSchemaExtend(s *jsonschema.Schema) {
	environments.ExactlyOne(s, "secret", "file")
}
