# Images come from these registries, or parts of registries, and no others.
#
# The parameter "registries" names them, and has to be given:
#   registries: [ghcr.io/acme, registry.example.org]
# "ghcr.io/acme" is all of ghcr.io/acme/…, and not ghcr.io/acme-evil. Docker Hub
# is docker.io; its own images are docker.io/library.
package allowed_registries

deny contains "the parameter registries is to be a list of such as ghcr.io/acme" if not valid

deny contains {"msg": sprintf("%s is in none of the allowed registries: %s", [image.repository, concat(", ", allowed)]), "object": image.object, "image": image.pinned} if {
	valid
	some image in input.images
	not from_one(image.repository)
}

allowed := data.parameters.registries

valid if {
	is_array(allowed)
	every registry in allowed {
		regex.match(`^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*/?$`, registry)
	}
}

from_one(repository) if {
	some registry in allowed
	prefix := full(trim_suffix(registry, "/"))
	startswith(sprintf("%s/", [repository]), sprintf("%s/", [prefix]))
}

# As the input has it.
full(registry) := sprintf("index.%s", [registry]) if {
	startswith(sprintf("%s/", [registry]), "docker.io/")
} else := registry
