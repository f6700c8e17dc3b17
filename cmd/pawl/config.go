package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/render"
)

// configFlag adds --config to a command.
func configFlag(cmd *cobra.Command) *string {
	file := cmd.Flags().String("config", os.Getenv("PAWL_CONFIG"), "the agent's configuration (default: $PAWL_CONFIG)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	return file
}

// loadConfig reads the agent's configuration and checks the files that it names.
func loadConfig(file string) (agent.Config, error) {
	if file == "" {
		return agent.Config{}, fmt.Errorf("no configuration: name the agent's with --config or $PAWL_CONFIG; `pawl schema agent` describes it")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return agent.Config{}, fmt.Errorf("read the agent's configuration: %w", err)
	}
	config, err := agent.LoadConfig(file, data)
	if err != nil {
		return agent.Config{}, err
	}
	return config, config.CheckFiles(file)
}

// optionalConfig is loadConfig for commands that also work without a configuration.
func optionalConfig(file string) (agent.Config, error) {
	if file == "" {
		return agent.Config{}, nil
	}
	return loadConfig(file)
}

// registries makes the client through which every registry is asked.
func registries(config agent.Config) (*oci.Client, error) {
	options := oci.Options{DockerConfig: pullSecrets(config)}
	for _, r := range config.Registries {
		registry := oci.Registry{Host: r.Host, PlainHTTP: r.Insecure}
		if r.CA != "" {
			ca, err := os.ReadFile(r.CA)
			if err != nil {
				return nil, fmt.Errorf("registry %s: read its certificate authorities: %w", r.Host, err)
			}
			registry.CA = ca
		}
		if c := r.Credentials; c != nil {
			registry.Credentials = func(context.Context) (oci.Credentials, error) {
				password, err := c.Password.Read()
				return oci.Credentials{Username: c.Username, Password: password.Reveal()}, err
			}
		}
		for _, m := range r.Mirrors {
			host, path, _ := strings.Cut(m, "/")
			registry.Mirrors = append(registry.Mirrors, oci.Mirror{Host: host, Path: path})
		}
		options.Registries = append(options.Registries, registry)
	}
	return oci.New(options)
}

// pullSecrets reads all Docker configurations into one; nil if there is none.
// Where several know a registry, the first does.
func pullSecrets(config agent.Config) func(context.Context) ([]byte, error) {
	if len(config.PullSecrets) == 0 {
		return nil
	}
	secret := secrets(config)
	return func(ctx context.Context) ([]byte, error) {
		var all struct {
			Auths map[string]json.RawMessage `json:"auths"`
		}
		all.Auths = map[string]json.RawMessage{}
		for _, p := range config.PullSecrets {
			var text []byte
			var err error
			if p.File != "" {
				text, err = os.ReadFile(p.File)
			} else {
				text, err = secret(ctx, demands.SecretKey{Name: p.Secret, Key: dockerConfigKey})
			}
			if err != nil {
				return nil, fmt.Errorf("read the registries' credentials: %w", err)
			}
			var one struct {
				Auths map[string]json.RawMessage `json:"auths"`
			}
			if json.Unmarshal(text, &one) != nil { // its words would quote the secret
				return nil, fmt.Errorf("read the registries' credentials: pull secret %s is no Docker configuration in JSON", p.File+p.Secret)
			}
			for host, credentials := range one.Auths {
				if _, known := all.Auths[host]; !known {
					all.Auths[host] = credentials
				}
			}
		}
		return json.Marshal(all)
	}
}

// dockerConfigKey is where a Secret of the type kubernetes.io/dockerconfigjson
// has its content.
const dockerConfigKey = ".dockerconfigjson"

// renderOptions are how the configuration wants overlays rendered, in sealed
// processes.
func renderOptions(config agent.Config, builder render.Builder) render.Options {
	l := config.Render.Limits
	options := render.Options{
		Build: builder,
		Limits: render.Limits{
			Bytes: int64(l.Bytes), Files: l.Files, Nodes: l.Nodes, Depth: l.Depth, Objects: l.Objects,
			Output: int64(l.Output), Time: time.Duration(l.Time), Memory: int64(l.Memory),
		},
		Images: render.ImageFields{ReportUnlisted: config.Render.Unlisted == agent.UnlistedReport},
	}
	for _, f := range config.Render.Images {
		options.Images.Kinds = append(options.Images.Kinds, render.KindFields{Group: f.Group, Kind: f.Kind, Fields: f.Fields})
	}
	for _, f := range config.Render.NoImages {
		options.Images.Kinds = append(options.Images.Kinds, render.KindFields{Group: f.Group, Kind: f.Kind, Ignore: f.Fields})
	}
	return options
}
