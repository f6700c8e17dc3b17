package allowed_registries_test

import data.allowed_registries as policy

said(repository, registries) := messages if {
	image := {"repository": repository, "pinned": sprintf("%s@sha256:ab", [repository]), "object": "Deployment shop/web"}
	messages := policy.deny with input as {"images": [image]} with data.parameters as {"registries": registries}
}

test_allowed[repository] if {
	some repository, registry in {
		"ghcr.io/acme/web": "ghcr.io/acme",
		"ghcr.io/acme/team/web": "ghcr.io/acme/",
		"ghcr.io/acme/api": "ghcr.io",
		"ghcr.io/acme/tools": "ghcr.io/acme/tools",
		"127.0.0.1:5000/web": "127.0.0.1:5000",
		"index.docker.io/library/nginx": "docker.io/library",
		"index.docker.io/acme/web": "docker.io",
	}
	said(repository, [registry]) == set()
}

test_refused[repository] if {
	some repository, registry in {
		"ghcr.io/acme-evil/web": "ghcr.io/acme",
		"ghcr.io.evil.example/acme/web": "ghcr.io",
		"ghcr.io/evil/ghcr.io/acme": "ghcr.io/acme",
		"index.docker.io/library/nginx": "ghcr.io",
		"evil.example/index.docker.io/x": "docker.io",
	}
	count(said(repository, [registry])) == 1
}

test_one_of_several if said("ghcr.io/acme/web", ["quay.io", "ghcr.io/acme"]) == set()

test_none_is_allowed if count(said("ghcr.io/acme/web", [])) == 1

test_the_message_says_what_and_where if {
	said("quay.io/x", ["ghcr.io"]) == {{
		"msg": "quay.io/x is in none of the allowed registries: ghcr.io",
		"object": "Deployment shop/web", "image": "quay.io/x@sha256:ab",
	}}
}

test_a_wrong_parameter[wrong] if {
	some wrong in ["ghcr.io", [""], ["*"], ["https://ghcr.io"], ["/"]]
	"the parameter registries is to be a list of such as ghcr.io/acme" in said("ghcr.io/acme/web", wrong)
}
