package no_plaintext_secrets_test

import data.no_plaintext_secrets as policy

secret := {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"}, "data": {"password": "masked", "user": "masked"}}

said(it) := messages if {
	messages := policy.deny with input as {"objects": [it]}
}

test_a_secret_with_values if {
	said(secret) == {{
		"msg": "has its values readable in git (password, user); seal them (SealedSecret) or let them be fetched (ExternalSecret)",
		"object": "Secret shop/db",
	}}
}

test_values_as_text if count(said({"kind": "Secret", "metadata": {"name": "a"}, "stringData": {"a": "masked"}})) == 1

test_values_that_are_no_map if count(said({"kind": "Secret", "metadata": {"name": "a"}, "data": "masked"})) == 1

test_a_secret_without_values[note] if {
	some note, object in {
		"token": {"kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": {"name": "a"}},
		"empty": {"kind": "Secret", "metadata": {"name": "a"}, "data": {}, "stringData": null},
	}
	said(object) == set()
}

test_sops_is_not_decrypted if {
	some m in said(object.union(secret, {"sops": {"version": "3.9"}}))
	contains(m.msg, "SOPS")
}

test_a_kind_that_holds_a_secret if {
	bundle := {"kind": "Bundle", "metadata": {"name": "all"}, "spec": {"manifests": [{"kind": "Secret", "data": {"a": "masked"}}]}}
	said(bundle) == {{"msg": "holds a Secret with values readable in git (a)", "object": "Bundle all"}}
}

test_kinds_that_make_secrets[kind] if {
	some kind, it in {
		"SealedSecret": {"spec": {"encryptedData": {"a": "AgB"}, "template": {"type": "Opaque"}}},
		"ExternalSecret": {"spec": {"data": [{"secretKey": "a", "remoteRef": {"key": "b"}}]}},
		"Deployment": {"spec": {"template": {"spec": {"containers": [], "volumes": [{"secret": {"secretName": "a"}}]}}}},
		"RoleBinding": {"roleRef": {"kind": "Secret", "name": "x"}},
	}
	said(object.union(it, {"kind": kind, "metadata": {"name": "a"}})) == set()
}

test_a_private_key_in_a_config_map if {
	key := concat("", ["-----BEGIN RSA ", "PRIVATE KEY-----"])
	said({"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"tls.key": key}}) == {{
		"msg": "holds a private key in tls.key; it belongs in a Secret that is sealed or fetched",
		"object": "ConfigMap a",
	}}
	said({"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"ca.crt": "-----BEGIN CERTIFICATE-----"}}) == set()
}

warned(env) := messages if {
	pod := {"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "web", "env": [env]}]}}
	messages := policy.warn with input as {"objects": [pod]}
}

test_a_variable_that_looks_secret if {
	some m in warned({"name": "DB_PASSWORD", "value": "hunter2"})
	not contains(m.msg, "hunter2")
}

test_variables_that_are_not[name] if {
	some name, env in {
		"DB_PASSWORD": {"valueFrom": {"secretKeyRef": {"name": "db"}}},
		"API_TOKEN": {"value": ""},
		"TOKEN_LIFETIME": {"value": "1h"},
		"HOME": {"value": "/"},
	}
	warned(object.union(env, {"name": name})) == set()
}
