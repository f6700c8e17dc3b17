package agent

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
)

// The comments of the fields below are also the descriptions in the JSON
// Schema that editors show: write them for whoever configures an agent.

// Config is the agent's own configuration. It is the platform team's and lies
// in the cluster, not in the config repo: who can merge there must not be able
// to lower the bar.
type Config struct {
	APIVersion string `json:"apiVersion" jsonschema:"enum=pawl.dev/v1alpha1"`
	Kind       string `json:"kind" jsonschema:"enum=Agent"`
	// The config repo.
	Repository RepositoryConfig `json:"repository"`
	// How the agent speaks with GitHub.
	GitHub GitHubConfig `json:"github"`
	// Credentials for reading the repository with git, if not those for GitHub.
	Git *GitConfig `json:"git,omitempty"`
	// The environments of pawl.yaml that this agent owns.
	Environments []EnvironmentConfig `json:"environments" jsonschema:"minItems=1,maxItems=100"`
	// The namespace where the agent keeps its inventory, in each cluster.
	Namespace string `json:"namespace,omitempty" jsonschema:"default=pawl-system"`
	demands.BaselineConfig
	// How overlays are rendered.
	Render RenderConfig `json:"render,omitempty,omitzero"`
	// Registries that need credentials, mirrors or a certificate authority of
	// their own.
	Registries []RegistryConfig `json:"registries,omitempty" jsonschema:"maxItems=100"`
	// Credentials for registries that have none of their own above.
	PullSecrets []PullSecretConfig `json:"pullSecrets,omitempty" jsonschema:"minItems=1,maxItems=20"`
	// How tracked tags are followed.
	Tags TagsConfig `json:"tags,omitempty,omitzero"`
	// Where the agent listens.
	HTTP HTTPConfig `json:"http,omitempty,omitzero"`
	// How soon a target that failed is tried again.
	Retries RetriesConfig `json:"retries,omitempty,omitzero"`
	// Which of several replicas works.
	Leadership LeadershipConfig `json:"leadership,omitempty,omitzero"`
	// How the agent tells what is healthy.
	Health HealthConfig `json:"health,omitempty,omitzero"`
	// What the agent logs.
	Log LogConfig `json:"log,omitempty,omitzero"`
}

// HealthConfig is how the agent tells what is healthy.
type HealthConfig struct {
	// The last lines of the log of a container that crashes, and what a probe that
	// fails printed, are told with it: in
	// checks on GitHub, in the agent's log and state, and in the Secret that notes
	// why a release is held. Logs may hold secrets. It needs a right to logs.
	PodLogs bool `json:"podLogs,omitempty"`
}

// RepositoryConfig is the config repo.
type RepositoryConfig struct {
	// Its address for git over HTTPS, without credentials.
	URL string `json:"url" jsonschema:"minLength=1,maxLength=2048,example=https://github.com/acme/shop.git"`
	// Owner and name on GitHub; left out where the address ends in them.
	Name string `json:"name,omitempty" jsonschema:"minLength=1,maxLength=200,example=acme/shop"`
	// The branch that is watched.
	Branch string `json:"branch,omitempty" jsonschema:"minLength=1,maxLength=200,default=main"`
	// How often the branch is looked at without a webhook, 1s to 1h.
	Poll environments.Duration `json:"poll,omitempty"`
	// A file with the certificate authorities of the git server, in PEM, beside
	// the system's.
	CA string `json:"ca,omitempty" jsonschema:"minLength=1"`
}

// GitHubConfig is how the agent speaks with GitHub. Exactly one of Token and
// App is set.
type GitHubConfig struct {
	// The root of the REST API.
	API string `json:"api,omitempty" jsonschema:"minLength=1,default=https://api.github.com/"`
	// A token. It cannot write checks: commit statuses are reported instead.
	Token *SecretFile `json:"token,omitempty"`
	// A GitHub App.
	App *AppConfig `json:"app,omitempty"`
	// Webhooks; left out where the branch is only polled.
	Webhook *WebhookConfig `json:"webhook,omitempty"`
}

// AppConfig is an installation of a GitHub App.
type AppConfig struct {
	// The App's id.
	ID int64 `json:"id" jsonschema:"minimum=1"`
	// The id of its installation on the repository's owner.
	Installation int64 `json:"installation" jsonschema:"minimum=1"`
	// The App's private key, as GitHub hands it out. It is read once, at start.
	Key SecretFile `json:"key"`
}

// WebhookConfig is how GitHub's webhooks are authenticated.
type WebhookConfig struct {
	// The secret that GitHub signs with.
	Secret SecretFile `json:"secret"`
}

// GitConfig are credentials for git.
type GitConfig struct {
	// The user's name; "x-access-token" where the password is GitHub's token.
	Username string `json:"username" jsonschema:"minLength=1"`
	// The password or token.
	Password SecretFile `json:"password"`
}

// EnvironmentConfig is an environment that the agent owns, and its cluster.
type EnvironmentConfig struct {
	// The name of the environment in pawl.yaml.
	Name string `json:"name"`
	// A kubeconfig file; the cluster that the agent runs in if left out.
	Kubeconfig string `json:"kubeconfig,omitempty" jsonschema:"minLength=1"`
	// The context in the kubeconfig; its current one if left out.
	Context string `json:"context,omitempty" jsonschema:"minLength=1"`
	// The compliance level whose demands hold here, whatever pawl.yaml says. A
	// level that pawl.yaml names is added.
	Level string `json:"level,omitempty" jsonschema:"minLength=1,maxLength=100,example=pci"`
	// What happens when the branch was rewritten, so that what was deployed last
	// is no ancestor of its head any more.
	Rewrites Rewrites `json:"rewrites,omitempty" jsonschema:"enum=stop,enum=follow,default=stop"`
	// The namespaces that may be written, each exact or a prefix with "*" behind
	// it; all but the agent's own if left out.
	Namespaces []string `json:"namespaces,omitempty" jsonschema:"minItems=1,maxItems=100,example=shop-*"`
	// The kinds that may be written; all if left out.
	Kinds KindsConfig `json:"kinds,omitempty,omitzero"`
	// The service account that is impersonated to write and delete, as
	// namespace/name; the agent's own account if left out.
	ServiceAccount string `json:"serviceAccount,omitempty" jsonschema:"minLength=3,maxLength=127,example=shop-production/deployer"`
}

// Rewrites says what happens when the branch was rewritten, so that what was
// deployed last is no ancestor of its head any more.
type Rewrites string

const (
	RewritesStop   Rewrites = "stop"   // nothing changes until a person acts; the default
	RewritesFollow Rewrites = "follow" // the new head counts like any other
)

// KindsConfig says which kinds an environment may have. A kind is written with
// its group, "Secret", "Deployment.apps", or "*.acme.io" for all of a group.
type KindsConfig struct {
	// The kinds that may be written; all if left out.
	Allow []string `json:"allow,omitempty" jsonschema:"minItems=1,maxItems=100,example=Deployment.apps"`
	// The kinds that may not, whatever is allowed.
	Deny []string `json:"deny,omitempty" jsonschema:"minItems=1,maxItems=100,example=RoleBinding.rbac.authorization.k8s.io"`
	// The kinds without a namespace that may be written, Namespaces aside, which
	// count by their name. If left out: all, or none where namespaces are listed.
	Cluster []string `json:"cluster,omitempty" jsonschema:"minItems=1,maxItems=100,example=ClusterIssuer.cert-manager.io"`
}

// RegistryConfig is how one registry is reached.
type RegistryConfig struct {
	// Its name, with the port where it has one.
	Host string `json:"host" jsonschema:"minLength=1,maxLength=255,example=ghcr.io"`
	// Speak HTTP without TLS.
	Insecure bool `json:"insecure,omitempty"`
	// A file with the registry's certificate authorities, in PEM, beside the system's.
	CA string `json:"ca,omitempty" jsonschema:"minLength=1"`
	// Who signs in; if left out, whoever the pull secrets say.
	Credentials *GitConfig `json:"credentials,omitempty"`
	// Registries that are asked first, in order, each with the path under which
	// it keeps this one's images. What they serve is checked like the origin's.
	Mirrors []string `json:"mirrors,omitempty" jsonschema:"minItems=1,maxItems=10,example=mirror.acme.dev/ghcr"`
}

// PullSecretConfig holds registry credentials as Kubernetes does, in a Docker
// configuration. Exactly one of Secret and File is set.
type PullSecretConfig struct {
	// A Secret of the agent's namespace, of the type kubernetes.io/dockerconfigjson.
	Secret string `json:"secret,omitempty" jsonschema:"minLength=1,maxLength=253,example=regcred"`
	// A file, such as a Secret that is mounted.
	File string `json:"file,omitempty" jsonschema:"minLength=1,example=/etc/pawl/pull/.dockerconfigjson"`
}

// TagsConfig is how tracked tags are followed.
type TagsConfig struct {
	// How often the registry is asked without a webhook, 1s to 24h.
	Poll environments.Duration `json:"poll,omitempty"`
}

// HTTPConfig is where the agent listens.
type HTTPConfig struct {
	// For GitHub's webhooks and the probes.
	Public string `json:"public,omitempty" jsonschema:"minLength=1,default=:8080"`
	// For metrics and the state of the environments: keep it inside the cluster.
	Internal string `json:"internal,omitempty" jsonschema:"minLength=1,default=:8081"`
}

// LogConfig is what the agent logs.
type LogConfig struct {
	Level  string `json:"level,omitempty" jsonschema:"enum=debug,enum=info,enum=warn,enum=error,default=info"`
	Format string `json:"format,omitempty" jsonschema:"enum=json,enum=console,default=json"`
}

// withDefaults fills in what was left out. These are all the defaults.
func (c Config) withDefaults() Config {
	c.Environments, c.BaselineConfig = slices.Clone(c.Environments), c.BaselineConfig.WithDefaults()
	fill(&c.Repository.Branch, "main")
	fill(&c.Repository.Poll, environments.Duration(5*time.Second))
	fill(&c.Repository.Name, repositoryName(c.Repository.URL))
	fill(&c.GitHub.API, "https://api.github.com/")
	fill(&c.Namespace, "pawl-system")
	fill(&c.Tags.Poll, environments.Duration(30*time.Second))
	fill(&c.HTTP.Public, ":8080")
	fill(&c.HTTP.Internal, ":8081")
	c.Retries = c.Retries.withDefaults()
	c.Leadership = c.Leadership.withDefaults()
	fill(&c.Log.Level, "info")
	fill(&c.Log.Format, "json")
	for i := range c.Environments {
		fill(&c.Environments[i].Rewrites, RewritesStop)
	}
	fill(&c.Render.Unlisted, UnlistedRefuse)
	return c
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Baselines makes what the configuration demands, with its files and Secrets.
func (c Config) Baselines(o demands.Options) *demands.Baselines {
	of := map[string]demands.EnvironmentBaseline{}
	for _, e := range c.Environments {
		of[e.Name] = demands.EnvironmentBaseline{Level: e.Level, FollowRewrites: e.Rewrites == RewritesFollow}
	}
	return demands.NewBaselines(c.BaselineConfig, of, o)
}

//go:embed config.go
var configSource string

//go:embed config_render.go
var configRenderSource string

//go:embed config_leadership.go
var configLeadershipSource string

//go:embed config_retries.go
var configRetriesSource string

//go:embed secret.go
var secretSource string

var configSchema = sync.OnceValue(func() *environments.Schema {
	return environments.NewSchema[Config]("https://pawl.dev/schemas/v1alpha1/agent.json", "The configuration of a Pawl agent", configSource, demands.ConfigSource, configRenderSource, configLeadershipSource, configRetriesSource, secretSource, environments.TrustSource)
})

// ConfigSchema is the JSON Schema of the agent's configuration.
func ConfigSchema() *environments.Schema { return configSchema() }

// LoadConfig reads the agent's configuration strictly and fills in the
// defaults. The error is *environments.Problems. Other files are not touched:
// CheckFiles does that.
func LoadConfig(file string, data []byte) (Config, error) {
	c, doc := environments.Decode[Config](file, data, configSchema())
	c.check(doc)
	if err := doc.Err(); err != nil {
		return Config{}, err
	}
	return c.withDefaults(), nil
}

// Validate checks a configuration that was made by a program, like LoadConfig
// does one that was written by a person.
func (c Config) Validate() error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("check the configuration: %w", err)
	}
	_, err = LoadConfig("configuration", text) // JSON is YAML
	return err
}
