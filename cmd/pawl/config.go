package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/policies"
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

// registries makes the client through which every registry is asked.
func registries(config agent.Config) (*oci.Client, error) {
	var list []oci.Registry
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
		list = append(list, registry)
	}
	return oci.NewClient(list...)
}

// trust reads the public keys that the configuration names.
func trust(config agent.Config) (policies.Trust, error) {
	var rules []policies.Rule
	for _, t := range config.Trust {
		rule := policies.Rule{Images: t.Images}
		for _, k := range t.Keys {
			pem, err := os.ReadFile(k.File)
			if err != nil {
				return policies.Trust{}, fmt.Errorf("trust: read key %q: %w", k.Name, err)
			}
			rule.Keys = append(rule.Keys, policies.Key{Name: k.Name, File: k.File, PEM: pem})
		}
		rules = append(rules, rule)
	}
	return policies.NewTrust(rules)
}
