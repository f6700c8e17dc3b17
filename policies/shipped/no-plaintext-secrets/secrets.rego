# No secret stands readable in git. A Secret in a release is one, for whoever can
# read the repository can read it, whatever its encoding. Kinds from which a
# controller makes the Secret in the cluster are the way: SealedSecret,
# ExternalSecret, SecretProviderClass and their like hold no plaintext.
#
# Policies see that a value is there and never which (it reads "masked").
package no_plaintext_secrets

import data.pods

deny contains {"msg": sprintf("has its values readable in git (%s); seal them (SealedSecret) or let them be fetched (ExternalSecret)", [keys(secret)]), "object": pods.name(secret)} if {
	some secret in input.objects
	secret.kind == "Secret"
	count(values(secret)) > 0
	not secret.sops
}

deny contains {"msg": "is encrypted by SOPS, which nothing decrypts here: the pods would get the encrypted text", "object": pods.name(secret)} if {
	some secret in input.objects
	secret.kind == "Secret"
	secret.sops
}

deny contains {"msg": sprintf("holds a Secret with values readable in git (%s)", [keys(secret)]), "object": pods.name(object)} if {
	some object in input.objects
	not object.kind in {"Secret", "ConfigMap"}
	walk(object, [_, secret])
	secret.kind == "Secret"
	count(values(secret)) > 0
}

deny contains {"msg": sprintf("holds a private key in %s; it belongs in a Secret that is sealed or fetched", [key]), "object": pods.name(object)} if {
	some object in input.objects
	object.kind == "ConfigMap"
	some key, value in object.data
	is_string(value)
	regex.match(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY`, value)
}

warn contains {"msg": sprintf("container %v: the variable %s has its value readable in git; take it from a Secret (valueFrom.secretKeyRef)", [pods.at(c.container, ["name"]), variable.name]), "object": c.pod.name} if {
	some c in pods.containers
	some variable in c.container.env
	regex.match(`(?i)(password|passwd|secret|token|api_?key|private_?key)$`, variable.name)
	not variable.value in {"", null}
}

values(secret) := {key |
	some field in ["data", "stringData"]
	some key, _ in secret[field]
} | {field |
	some field in ["data", "stringData"]
	is_string(secret[field])
}

keys(secret) := concat(", ", sort(values(secret)))
