// Usage: node cut.mjs <description.json> <cut.json.gz> <examples.json.gz>
// Keeps the paths and webhooks listed here with everything they refer to, and
// drops what does not decide whether a message is valid: examples, which go to
// a file of their own for the tests, and prose.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const repo = "/repos/{owner}/{repo}";
const paths = [
  "/app",
  "/app/hook/config",
  "/app/hook/deliveries",
  "/app/hook/deliveries/{delivery_id}",
  "/app/hook/deliveries/{delivery_id}/attempts",
  "/app/installations",
  "/app/installations/{installation_id}",
  "/app/installations/{installation_id}/access_tokens",
  "/app/installations/{installation_id}/suspended",
  "/apps/{app_slug}",
  "/installation/repositories",
  "/installation/token",
  "/meta",
  "/orgs/{org}/installation",
  "/orgs/{org}/teams",
  "/orgs/{org}/teams/{team_slug}",
  "/orgs/{org}/teams/{team_slug}/members",
  "/orgs/{org}/teams/{team_slug}/memberships/{username}",
  "/orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}",
  "/rate_limit",
  "/user",
  "/users/{username}",
  "/users/{username}/installation",
  repo,
  repo + "/installation",
  repo + "/dispatches",
  // Everything below these.
  ...["branches", "check-runs", "check-suites", "collaborators", "commits", "contents", "deployments",
    "git", "hooks", "labels", "rules/branches", "rulesets", "statuses"].map((p) => `${repo}/${p}/**`),
  repo + "/compare/{basehead}",
  repo + "/issues",
  repo + "/issues/{issue_number}",
  repo + "/issues/comments/{comment_id}",
  repo + "/issues/{issue_number}/comments",
  repo + "/issues/{issue_number}/labels",
  repo + "/issues/{issue_number}/labels/{name}",
  repo + "/pulls",
  repo + "/pulls/{pull_number}",
  repo + "/pulls/{pull_number}/commits",
  repo + "/pulls/{pull_number}/files",
  repo + "/pulls/{pull_number}/merge",
  repo + "/pulls/{pull_number}/requested_reviewers",
  repo + "/pulls/{pull_number}/reviews",
  repo + "/pulls/{pull_number}/reviews/{review_id}",
  repo + "/pulls/{pull_number}/reviews/{review_id}/dismissals",
  repo + "/pulls/{pull_number}/reviews/{review_id}/events",
  repo + "/pulls/{pull_number}/update-branch",
];
const webhooks = /^(push|ping|status|create|delete|repository-dispatch.*|meta-deleted)$|^(pull-request|check-run|check-suite|installation|deployment|deployment-status|merge-group|issue-comment|package|registry-package|branch-protection-rule|repository-ruleset)-/;

const [, , from, to, toExamples] = process.argv;
const whole = JSON.parse(readFileSync(from, "utf8"));
const cut = { openapi: whole.openapi, info: { title: whole.info.title, version: whole.info.version }, paths: {}, components: {} };

for (const path of paths) {
  const below = path.endsWith("/**") && path.slice(0, -3);
  const found = Object.keys(whole.paths ?? {}).filter((p) => (below ? p === below || p.startsWith(below + "/") : p === path));
  if (whole.paths && found.length === 0) throw new Error(`the description has no ${path}`);
  for (const p of found) cut.paths[p] = strip(whole.paths[p]);
}
if (whole.webhooks) {
  cut.webhooks = {};
  for (const name of Object.keys(whole.webhooks).filter((n) => webhooks.test(n)).sort()) cut.webhooks[name] = strip(whole.webhooks[name]);
}

const seen = new Set();
follow(cut.paths);
follow(cut.webhooks);
for (const kind of Object.keys(cut.components)) cut.components[kind] = sorted(cut.components[kind]);

writeFileSync(to, gzipSync(JSON.stringify(cut), { level: 9 }));
console.log(`${to}: ${Object.keys(cut.paths).length} paths, ${Object.keys(cut.webhooks ?? {}).length} webhooks, ${Object.keys(cut.components.schemas).length} schemas`);

const examples = [];
for (const [kept, all] of [["paths", whole.paths], ["webhooks", whole.webhooks]]) {
  for (const path of Object.keys(cut[kept] ?? {})) {
    for (const [method, op] of Object.entries(all[path])) {
      const where = { method: method.toUpperCase(), path };
      collect({ ...where, kind: kept === "paths" ? "request" : "webhook", status: 0 }, op.requestBody);
      for (const [status, response] of Object.entries(op.responses ?? {})) collect({ ...where, kind: "response", status: Number(status) }, response);
    }
  }
}
writeFileSync(toExamples, gzipSync(JSON.stringify(examples), { level: 9 }));

function collect(where, message) {
  const content = resolve(message ?? {}).content?.["application/json"];
  for (const [name, example] of Object.entries(content?.examples ?? {})) {
    const value = resolve(example).value;
    if (value !== null && value !== undefined) examples.push({ ...where, name, value });
  }
}
function resolve(node) {
  return node.$ref ? resolve(node.$ref.split("/").slice(1).reduce((n, key) => n[key], whole)) : node;
}

// strip works on a key only when its value has the shape of prose: a property
// may itself be called "description" or "example", and then holds a schema.
function strip(node, names = false) {
  if (Array.isArray(node)) return node.map((n) => strip(n));
  if (node === null || typeof node !== "object") return node;
  const out = {};
  for (const [key, value] of Object.entries(node)) {
    if (names) { out[key] = strip(value); continue; }
    if (["example", "examples", "externalDocs", "tags", "summary", "default"].includes(key) || key.startsWith("x-")) continue;
    if (key === "description" && typeof value === "string") {
      if ("content" in node || "headers" in node || isResponse(node)) out[key] = "";
      continue;
    }
    if (key === "enum" || key === "required" || key === "const") { out[key] = value; continue; }
    out[key] = strip(value, ["properties", "responses", "headers", "content", "paths", "patternProperties", "mapping"].includes(key));
  }
  return out;
}
function isResponse(node) { // a response must have a description, if only an empty one
  return !("type" in node || "in" in node || "$ref" in node || "properties" in node || "oneOf" in node || "anyOf" in node || "allOf" in node || "operationId" in node || "schema" in node || "enum" in node);
}
function follow(node) {
  if (node === null || typeof node !== "object") return;
  if (typeof node.$ref === "string" && !seen.has(node.$ref)) {
    seen.add(node.$ref);
    const [, , kind, name] = node.$ref.split("/");
    const part = strip(whole.components[kind][name]);
    (cut.components[kind] ??= {})[name] = part;
    follow(part);
  }
  Object.values(node).forEach(follow);
}
function sorted(o) { return Object.fromEntries(Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1))); }
