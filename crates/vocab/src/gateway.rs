//! gateway.yaml: settings of the operator.

use diag::shape::{BAD_VALUE, Field, MISSING_KEY, NameKeys, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink};

use policy::auth::mtls;
use policy::forms;
use policy::guard::validate;

use Field as F;
use NameKeys::{Define, Refer};
use Shape::{
    Any, Bool, Either, Form, Integer, Kinds, List, Map, Name, NamePattern, Several, Sha256, Table,
    Text, TextOrSecret, Word, WordOrName,
};

use super::listener::LISTENER;
use super::release::RELEASE;
use super::shared::{ERRORS, MAX_BODY, PATH_READINGS, REQUEST_UPSTREAM, STORES, STREAMS, TIMEOUT};
use super::upstream::UPSTREAM;
use crate::checks::Level;
use crate::lints::MOUNT_CONFLICT;

/// Shape of gateway.yaml.
pub static SHAPE: Shape = Shape::Object(&GATEWAY);

/// Shape of a `consumers_file`.
pub static CONSUMERS: Shape = CONSUMERS_BY_NAME;

const CONSUMERS_BY_NAME: Shape = Shape::ByName(Define("a consumer"), &Shape::Object(&CONSUMER));

/// Shape of the file named by `acknowledge`.
pub static ACKNOWLEDGEMENTS: Shape = List(&Shape::Object(&ACKNOWLEDGEMENT));

static GATEWAY: Object = Object {
    what: "gateway.yaml",
    rules: &[],
    fields: &[
        F::required("version", Integer(1, 1), "Version of this vocabulary: 1."),
        F::required("name", Text, "Name of the project."),
        F::optional("owner", Text, "Owner of the project. Default: none."),
        F::optional(
            "apis",
            Shape::ByName(Define("an API"), &Shape::Object(&API)),
            "OpenAPI documents and their mounts.",
        ),
        F::optional(
            "apis_glob",
            List(&Text),
            "OpenAPI documents by pattern, such as `apis/*.yaml`. Each is an API. Its name is that \
            of the document (`x-gateway: {api: NAME}`), else that of the file without the last \
            extension.",
        ),
        F::optional(
            "listeners",
            Shape::ByName(Define("a listener"), &Shape::Object(&LISTENER)),
            "Listeners of the gateway.",
        ),
        F::optional(
            "upstreams",
            Shape::ByName(Define("an upstream"), &Shape::Object(&UPSTREAM)),
            "Services behind the gateway.",
        ),
        F::optional(
            "auth",
            Shape::ByName(Define("a verifier"), &Kinds(policy::auth::KINDS)),
            "Verifiers of credentials.",
        ),
        F::optional(
            "consumers",
            CONSUMERS_BY_NAME,
            "Callers with their credentials.",
        ),
        F::optional(
            "consumers_file",
            Form(&forms::FILE),
            "File with consumers. A change of the file changes only the consumers' part of a \
             bundle. Default: none.",
        ),
        F::optional(
            "plans",
            Shape::ByName(Define("a plan"), &Shape::Object(&PLAN)),
            "Plans by name. The limits of a plan apply to every consumer with that plan and to the members of its groups, on every operation with authentication.",
        ),
        F::optional(
            "policies",
            Shape::ByName(Define("a policy"), &Kinds(policy::KINDS)),
            "Policies, to which operations refer by name.",
        ),
        F::optional(
            "required",
            Shape::Object(&REQUIRED),
            "Requirements that no document can remove.",
        )
        .guard(),
        F::optional(
            "defaults",
            Shape::Object(&DEFAULTS),
            "Defaults for every operation.",
        ),
        F::optional(
            "stores",
            STORES,
            "Stores of counters and of used credentials that the gateways of a fleet share.",
        ),
        F::optional(
            "errors",
            ERRORS,
            "Form of the gateway's own errors, by their reason (`code` of the problem document).",
        ),
        F::optional(
            "environments",
            Shape::ByName(Define("an environment"), &Shape::Object(&ENVIRONMENT)),
            "Differences between the environments of the project; `--env` selects one.",
        ),
        F::optional(
            "release",
            Shape::Object(&RELEASE),
            "Store and channel of bundles, and steps of their release.",
        ),
        F::optional(
            "lint",
            Table(&Word(&["off", "info", "warn", "error"])),
            "Levels of rules by name or code.",
        ),
        F::optional(
            "break_levels",
            Table(&Word(Level::NAMES)),
            "Levels of checks for changes that break clients, by id (`breaking-changes.md`). A \
plan uses the higher level of its old and its new side.",
        ),
        F::optional(
            "deprecations",
            Shape::Object(&DEPRECATIONS),
            "Notice that clients get before an operation is removed.",
        ),
        F::optional(
            "gates",
            List(&Word(&[
                "weaken", "expose", "grant", "relax", "remove", "move", "break", "rules",
            ])),
            "Classes of change that stop a plan until they are acknowledged.",
        )
        .guard(),
        F::optional(
            "acknowledge",
            Form(&forms::FILE),
            "File with reviewed changes that pass the gates. Default: none.",
        ),
        F::optional(
            "invariants",
            List(&Form(&forms::FILE)),
            "Files with invariants: conditions on operations, which every compilation checks.",
        )
        .guard(),
        F::optional(
            "tests",
            List(&Text),
            "Files with requests and the expected decisions, by pattern, such as `tests/*.yaml`; `gwc test` runs them.",
        ),
    ],
};

static DEPRECATIONS: Object = Object {
    what: "the deprecation policy",
    rules: &[],
    fields: &[
        F::optional(
            "notice_days",
            Integer(0, NOTICE_DAYS_MAX),
            "Least number of days from the release that deprecates an operation to its sunset. \
Default: no notice is required.",
        ),
        F::optional(
            "apis",
            Shape::ByName(Refer(&["an API"]), &Integer(0, NOTICE_DAYS_MAX)),
            "Other numbers of days, by API.",
        ),
    ],
};

/// Greatest notice period, in days.
const NOTICE_DAYS_MAX: i64 = 3650;

static ACKNOWLEDGEMENT: Object = Object {
    what: "an acknowledgement",
    rules: &[],
    fields: &[
        F::required(
            "fingerprint",
            Form(&FINGERPRINT),
            "Fingerprint of the change, as `gwc plan` prints it. It covers only this change from \
this old value.",
        ),
        F::required(
            "kind",
            Text,
            "Id of the acknowledged change, exactly as `gwc plan` prints it.",
        ),
        F::required(
            "operation",
            Text,
            "Operation or other subject of the acknowledged change, exactly as `gwc plan` prints \
it.",
        ),
        F::optional(
            "environments",
            List(&Text),
            "Environments of the acknowledged change, exactly as `gwc plan` prints them. They are \
part of the fingerprint. Default: those of the plan.",
        ),
        F::required("reason", Text, "Reason why the change is accepted."),
        F::required("by", Text, "Reviewer."),
        F::optional(
            "until",
            Shape::Date,
            "Last day (UTC) on which the acknowledgement is valid. Default: unlimited.",
        )
        .guard(),
    ],
};

static ENVIRONMENT: Object = Object {
    what: "an environment",
    rules: &[],
    fields: &[
        F::optional(
            "patch",
            Form(&forms::FILE),
            "File with a JSON Merge Patch for gateway.yaml: maps merge, `null` removes, anything else replaces. Default: none.",
        ),
        F::optional(
            "vars",
            Map(&TextOrSecret),
            "Values of `${var:NAME}`, here and in `x-gateway`.",
        ),
        F::optional(
            "release",
            Shape::Object(&ENVIRONMENT_RELEASE),
            "Store and channel of its bundles.",
        ),
    ],
};

static ENVIRONMENT_RELEASE: Object = Object {
    what: "the release of an environment",
    rules: &[],
    fields: &[F::optional(
        "channel",
        Text,
        "Channel of the environment. Default: `release.channel`.",
    )],
};

pub static API: Object = Object {
    what: "an API",
    rules: &[Rule::Apart(&["mount", "mounts"], &MOUNT_CONFLICT)],
    fields: &[
        F::required(
            "path",
            Form(&forms::FILE),
            "OpenAPI document, relative to gateway.yaml.",
        ),
        F::optional(
            "overlays",
            List(&Form(&forms::FILE)),
            "Overlays, applied in order.",
        ),
        F::optional(
            "mount",
            Shape::Object(&MOUNT),
            "Place at which the API is served.",
        ),
        F::optional(
            "mounts",
            Several(&Shape::Object(&MOUNT)),
            "Places at which the API is served, if there are several.",
        ),
        F::optional(
            "environments",
            Several(&NamePattern("an environment")),
            "Environments that serve the API. Default: all.",
        ),
        F::optional(
            "unmatched",
            WordOrName("deny", "an upstream"),
            "Destination of paths that the document does not describe: `deny` (404), or an upstream. Such requests belong to the operation `API#unmatched`, with the `security` and policies at the document's root. Default: the document's value, otherwise `deny`.",
        ),
        F::optional(
            "undeclared_methods",
            Word(&["deny", "pass"]),
            "Undescribed methods of described paths: `deny` (405), or `pass` to the upstream. Such requests belong to the operation `API#undeclared`, with the `security` and policies at the document's root. Default: the document's value, otherwise `deny`.",
        ),
        F::optional(
            "serve_document",
            SERVE_DOCUMENT,
            "Serve the public document of the API. Default: `serve_document` of `defaults`.",
        ),
    ],
};

static MOUNT: Object = Object {
    what: "a mount",
    rules: &[],
    fields: &[
        F::optional(
            "name",
            Text,
            "Name of the mount. Default: `default`, if there is one mount.",
        ),
        F::optional(
            "hosts",
            Several(&Text),
            "Hosts; `*.` at the beginning stands for one label. Default: any host.",
        ),
        F::optional(
            "base_path",
            Text,
            "Path before every path of the document. Default: `/`.",
        ),
        F::optional(
            "strip_base_path",
            Bool,
            "Remove the base path from requests to the upstream. Default: `false`.",
        ),
        F::optional(
            "listeners",
            Several(&Name("a listener")),
            "Listeners on which the mount is served.",
        ),
    ],
};

static PLAN: Object = Object {
    what: "a plan",
    fields: &[
        F::required(
            "policies",
            Several(&Name("a policy")),
            "Limits (`rate_limit`, `quota`, `concurrency`) of the plan's callers, in addition to those of the operation. They have counters of their own, and the name `plan:NAME`.",
        ),
        F::optional(
            "groups",
            List(&Form(&forms::WORDS)),
            "Groups whose members have the plan: groups of consumers and of tokens (`groups_claim`). A consumer's own `plan` replaces the plans of its groups. A caller in several groups has all their plans. Default: none.",
        ),
    ],
    rules: &[],
};

static SERVE: Object = Object {
    what: "a document endpoint",
    fields: &[
        F::optional(
            "path",
            Form(&forms::PATH),
            "Path of the document below the mount. Default: `/openapi.json`.",
        ),
        F::optional(
            "page",
            Either(&[Bool, Form(&forms::PATH)]),
            "Path of a page that shows the document, below the mount; `false`: no page. Default: the path of the document with `.html` instead of `.json`.",
        ),
        F::optional(
            "public",
            Bool,
            "Everyone may read the document. Default: `false`: readers need a credential that satisfies the `security` at the document's root.",
        )
        .guard(),
    ],
    rules: &[],
};

/// Value of `serve_document`.
const SERVE_DOCUMENT: Shape = Either(&[Bool, Shape::Object(&SERVE)]);

/// Claims of a consumer: names and values of any type.
pub const CLAIMS: Shape = Table(&Any);

/// Notes about a consumer, by name.
pub const NOTES: Shape = Table(&Text);

pub static CONSUMER: Object = Object {
    what: "a consumer",
    rules: &[],
    fields: &[
        F::optional(
            "keys",
            List(&Shape::Object(&CREDENTIAL)),
            "Keys of the consumer, by their sha256.",
        ),
        F::optional(
            "basic",
            List(&Shape::Object(&PASSWORD)),
            "Names with passwords: each by the sha256 of `user:password`, or by the name and an \
argon2id hash of the password.",
        ),
        F::optional(
            "certificates",
            List(&Shape::Object(&CERTIFIED)),
            "Client certificates of the consumer, by their fingerprint or a name.",
        ),
        F::optional(
            "tokens",
            List(&Shape::Object(&HOLDER)),
            "Tokens of the consumer, by their issuer and a subject or client.",
        ),
        F::optional(
            "claims",
            CLAIMS,
            "Claims of the consumer, by name; `claim:NAME` of hashes and limits uses those that \
are a string, a number, `true` or `false`.",
        ),
        F::optional(
            "groups",
            List(&Form(&forms::WORDS)),
            "Groups of the consumer.",
        ),
        F::optional(
            "plan",
            Name("a plan"),
            "Plan of the consumer. Default: none.",
        ),
        F::optional(
            "metadata",
            NOTES,
            "Notes for people, such as the owner. `gwc inspect` shows them; requests do not depend on them.",
        ),
    ],
};

static CREDENTIAL: Object = Object {
    what: "a credential",
    rules: &[],
    fields: &[
        F::required(
            "sha256",
            Sha256,
            "SHA-256 of the credential, 64 hexadecimal digits.",
        ),
        F::optional(
            "not_after",
            Shape::Date,
            "Last day (UTC) on which the credential is admitted. Default: unlimited.",
        )
        .guard(),
    ],
};

static CERTIFIED: Object = Object {
    what: "a client certificate",
    rules: &[Rule::One(&["sha256", "san", "subject"])],
    fields: &[
        F::optional(
            "sha256",
            Sha256,
            "SHA-256 of the certificate in DER, 64 hexadecimal digits (`openssl x509 -outform DER | sha256sum`).",
        ),
        F::optional(
            "san",
            Form(&mtls::author::SAN),
            "Subject alternative name of the certificate: a DNS name, a mail address or a URI such as a SPIFFE id.",
        ),
        F::optional(
            "subject",
            Form(&mtls::author::SUBJECT),
            "Subject of the certificate (RFC 4514), the most specific part first.",
        ),
        F::optional(
            "not_after",
            Shape::Date,
            "Last day (UTC) on which the certificate is admitted. Default: unlimited.",
        )
        .guard(),
    ],
};

static HOLDER: Object = Object {
    what: "a token owner",
    rules: &[Rule::One(&["subject", "client"])],
    fields: &[
        F::required(
            "issuer",
            Form(&forms::WORDS),
            "Issuer of the tokens, as in the verifier: `issuer` of a `jwt`, `iss` of an \
introspection response, or `url` of the verifier if the response has no `iss`. Compared byte by byte.",
        ),
        F::optional(
            "subject",
            Form(&forms::WORDS),
            "Subject of the tokens: the value of `sub`.",
        ),
        F::optional(
            "client",
            Form(&forms::WORDS),
            "Client to which the tokens were issued: the value of `client_id`, else of `azp`.",
        ),
        F::optional(
            "not_after",
            Shape::Date,
            "Last day (UTC) on which the tokens are admitted. Default: unlimited.",
        )
        .guard(),
    ],
};

static PASSWORD: Object = Object {
    what: "a name with a password",
    rules: &[
        Rule::One(&["sha256", "argon2id"]),
        Rule::Holds(check_password),
    ],
    fields: &[
        F::optional(
            "sha256",
            Sha256,
            "SHA-256 of `user:password`, 64 hexadecimal digits; for generated passwords only.",
        ),
        F::optional(
            "user",
            Form(&forms::USER),
            "Name of the user; required with `argon2id`. Default: none.",
        ),
        F::optional(
            "argon2id",
            Form(&forms::ARGON2ID),
            "Hash of the password (RFC 9106).",
        ),
        F::optional(
            "not_after",
            Shape::Date,
            "Last day (UTC) on which the credential is admitted. Default: unlimited.",
        )
        .guard(),
    ],
};

/// Checks that a consumer's password has a user if it is an argon2id hash. A SHA-256 already
/// includes the user.
fn check_password(node: NodeRef<'_>, sink: &mut Sink) {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    match (get("user"), get("argon2id")) {
        (None, Some(hash)) => sink.push(
            Diagnostic::new(
                &MISSING_KEY,
                hash.span(),
                "the user of this password is missing",
            )
            .help("write the name in `user`: the hash covers only the password"),
        ),
        (Some(user), None) => sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                user.span(),
                "`user` has no effect: the `sha256` is the hash of `NAME:PASSWORD`",
            )
            .help("remove `user`"),
        ),
        (None, None) | (Some(_), Some(_)) => {}
    }
}

static REQUIRED: Object = Object {
    what: "a set of requirements",
    rules: &[],
    fields: &[
        F::optional(
            "policies",
            List(&Name("a policy")),
            "Policies of every operation, first in their phase.",
        ),
        F::optional(
            "auth",
            List(&Name("a verifier")),
            "Verifiers; every operation must use one of them.",
        ),
        F::optional(
            "allow_public",
            List(&Text),
            "Keys of operations that may be public, such as `orders/getHealth`; `*` stands for any text.",
        )
        .guard(),
    ],
};

static DEFAULTS: Object = Object {
    what: "the defaults",
    rules: &[],
    fields: &[
        REQUEST_UPSTREAM,
        F::optional(
            "listeners",
            Several(&Name("a listener")),
            "Listeners of the mounts.",
        ),
        F::optional(
            "policies",
            List(&Name("a policy")),
            "Policies at the start of every chain.",
        ),
        TIMEOUT,
        F::optional(
            "validate",
            Shape::Object(&validate::author::SHAPE),
            "Validation of messages against the documents.",
        ),
        MAX_BODY,
        PATH_READINGS,
        STREAMS,
        F::optional(
            "security",
            Word(&["enforce", "upstream"]),
            "Verification of credentials: by the gateway (`enforce`), or by the upstream (`upstream`; gwd checks only that a credential is present). Default: `enforce`.",
        )
        .guard(),
        F::optional("expose_bundle", Bool, "Send the short id of the bundle in responses, in the field `X-Gateway-Bundle`. Default: `false`."),
        F::optional(
            "serve_document",
            SERVE_DOCUMENT,
            "Serve the public document of each API, as the operations `API#document` and `API#document-page`. Default: `false`.",
        ),
    ],
};

/// Number of hexadecimal digits of a fingerprint in files.
pub const FINGERPRINT_DIGITS: usize = 32;

/// Form of a change's complete fingerprint.
pub static FINGERPRINT: diag::shape::Form = diag::shape::Form {
    what: "the fingerprint of a change: 32 hexadecimal digits in quotes, as `gwc plan` prints it",
    pattern: "[0-9a-f]{32}",
    fits: is_fingerprint,
};

/// True if a string has the form of a fingerprint.
#[must_use]
pub fn is_fingerprint(text: &str) -> bool {
    text.len() == FINGERPRINT_DIGITS
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
