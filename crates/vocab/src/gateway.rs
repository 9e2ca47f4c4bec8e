//! gateway.yaml: what the operator decides.

use diag::shape::{Field, Object, Rule, Shape};

use policy::forms;
use policy::guard::validate;

use Field as F;
use Shape::{
    Any, Bool, Either, Form, Integer, Kinds, List, Map, Name, Partly, Several, Sha256, Size, Table,
    Text, TextOrSecret, Timeout, Word, WordOrName,
};

use super::listener::LISTENER;
use super::shared::{ERRORS, PATH_READINGS, STORES};
use super::upstream::UPSTREAM;
use crate::lints::MOUNT_CONFLICT;

/// The whole file.
pub static SHAPE: Shape = Shape::Object(&GATEWAY);

/// A `consumers_file`.
pub static CONSUMERS: Shape = Map(&Shape::Object(&CONSUMER));

/// The file that `acknowledge` names.
pub static ACKNOWLEDGEMENTS: Shape = List(&Shape::Object(&ACKNOWLEDGEMENT));

static GATEWAY: Object = Object {
    what: "gateway.yaml",
    rules: &[],
    fields: &[
        F::required(
            "version",
            Integer(1, 1),
            "The version of this vocabulary: 1.",
        ),
        F::required("name", Text, "The project's name."),
        F::optional("owner", Text, "Who answers for the project."),
        F::optional(
            "apis",
            Map(&Shape::Object(&API)),
            "The OpenAPI documents and where each is mounted.",
        ),
        F::optional(
            "apis_glob",
            List(&Text),
            "OpenAPI documents by pattern, each an API named by its file without the last extension: `apis/*.yaml`.",
        ),
        F::optional(
            "listeners",
            Map(&Shape::Object(&LISTENER)),
            "Where the gateway listens.",
        ),
        F::optional(
            "upstreams",
            Map(&Shape::Object(&UPSTREAM)),
            "The services behind.",
        ),
        F::optional(
            "auth",
            Map(&Kinds(policy::auth::KINDS)),
            "How credentials are checked.",
        ),
        F::optional("consumers", Map(&Shape::Object(&CONSUMER)), "Who may call."),
        F::optional(
            "consumers_file",
            Form(&forms::FILE),
            "Consumers in a file of their own, so that a new key moves only its part of a bundle.",
        ),
        F::later(
            "plans",
            Map(&Shape::Object(&PLAN)),
            "What consumers of a plan have.",
        ),
        F::optional(
            "policies",
            Map(&Kinds(policy::KINDS)),
            "Policies that operations name.",
        ),
        F::optional(
            "required",
            Shape::Object(&REQUIRED),
            "What no document can avoid.",
        ),
        F::optional(
            "defaults",
            Shape::Object(&DEFAULTS),
            "What holds where nobody says otherwise.",
        ),
        F::later("stores", STORES, "Shared counters and caches for fleets."),
        F::later(
            "errors",
            ERRORS,
            "How errors made by the gateway look, by their reason.",
        ),
        F::optional(
            "environments",
            Map(&Shape::Object(&ENVIRONMENT)),
            "What differs between the places that the project runs in; `--env` chooses one.",
        ),
        F::optional("release", Shape::Object(&RELEASE), "Where bundles go."),
        F::optional(
            "lint",
            Table(&Word(&["off", "info", "warn", "error"])),
            "Levels of rules by name or code.",
        ),
        F::optional(
            "gates",
            List(&Partly(
                &[
                    "weaken", "expose", "grant", "relax", "remove", "move", "rules",
                ],
                &["break"],
            )),
            "Classes of change that stop a plan until they are acknowledged.",
        ),
        F::optional(
            "acknowledge",
            Form(&forms::FILE),
            "A file with the changes that somebody reviewed and lets through the gates.",
        ),
        F::later(
            "invariants",
            List(&Form(&forms::FILE)),
            "Files with rules of the project's own.",
        ),
        F::later(
            "tests",
            List(&Form(&forms::FILE)),
            "Files with requests and the decisions expected; `*` stands for any text.",
        ),
    ],
};

static ACKNOWLEDGEMENT: Object = Object {
    what: "an acknowledgement",
    rules: &[],
    fields: &[
        F::required(
            "fingerprint",
            Form(&FINGERPRINT),
            "The change, as `gwc plan` prints it; it covers this change from this old value only.",
        ),
        F::required(
            "kind",
            Text,
            "Id of the change, which must be the change's own.",
        ),
        F::required(
            "operation",
            Text,
            "Operation, or other subject, of the change, which must be the change's own.",
        ),
        F::required("reason", Text, "Why it may be."),
        F::required("by", Text, "Who reviewed it."),
        F::optional(
            "until",
            Shape::Date,
            "The last day (UTC) on which it counts.",
        ),
    ],
};

static ENVIRONMENT: Object = Object {
    what: "an environment",
    rules: &[],
    fields: &[
        F::optional(
            "patch",
            Form(&forms::FILE),
            "A file with a JSON Merge Patch of this one: maps merge, `null` removes, anything else replaces.",
        ),
        F::optional(
            "vars",
            Map(&TextOrSecret),
            "What `${var:NAME}` stands for, here and in `x-gateway`.",
        ),
        F::optional(
            "release",
            Shape::Object(&ENVIRONMENT_RELEASE),
            "Where its bundles go.",
        ),
    ],
};

static ENVIRONMENT_RELEASE: Object = Object {
    what: "the release of an environment",
    rules: &[],
    fields: &[F::optional(
        "channel",
        Text,
        "The channel that is moved, instead of `release.channel`.",
    )],
};

pub static API: Object = Object {
    what: "an API",
    rules: &[Rule::Apart(&["mount", "mounts"], &MOUNT_CONFLICT)],
    fields: &[
        F::required(
            "path",
            Form(&forms::FILE),
            "The OpenAPI document, relative to gateway.yaml.",
        ),
        F::optional(
            "overlays",
            List(&Form(&forms::FILE)),
            "Overlays, applied in order.",
        ),
        F::optional("mount", Shape::Object(&MOUNT), "Where it can be reached."),
        F::optional(
            "mounts",
            Several(&Shape::Object(&MOUNT)),
            "Where it can be reached, if in several places.",
        ),
        F::optional(
            "environments",
            Several(&Text),
            "The environments that have it; all where nothing is said.",
        ),
        F::optional(
            "unmatched",
            WordOrName("deny", "an upstream"),
            "Who gets paths that the document does not describe: `deny` (nobody, 404), or an upstream, as the operation `API#unmatched` with the document's root `security` and policies.",
        ),
        F::optional(
            "undeclared_methods",
            Word(&["deny", "pass"]),
            "Whether methods that it does not describe, at paths that it does, reach its upstream: `deny` (405), or `pass`, as the operation `API#undeclared` with the document's root `security` and policies.",
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
            "Its name; `default` where there is one mount.",
        ),
        F::optional(
            "hosts",
            Several(&Text),
            "Hosts, `*.` for one label; any host where nothing is said.",
        ),
        F::optional(
            "base_path",
            Text,
            "What stands before every path; `/` where nothing is said.",
        ),
        F::optional(
            "strip_base_path",
            Bool,
            "Whether the upstream gets the path without it.",
        ),
        F::optional(
            "listeners",
            Several(&Name("a listener")),
            "The listeners it answers on.",
        ),
    ],
};

static PLAN: Object = Object {
    what: "a plan",
    fields: &[F::required(
        "policies",
        Several(&Name("a policy")),
        "Policies that its consumers have beside those of the operation.",
    )],
    rules: &[],
};

static SERVE: Object = Object {
    what: "how documents are served",
    fields: &[F::optional(
        "path",
        Form(&forms::PATH),
        "Below the mount; `/openapi.json` where nothing is said.",
    )],
    rules: &[],
};

/// Claims of a consumer: a map of any values.
pub const CLAIMS: Shape = Table(&Any);

pub static CONSUMER: Object = Object {
    what: "a consumer",
    rules: &[],
    fields: &[
        F::optional(
            "keys",
            List(&Shape::Object(&CREDENTIAL)),
            "Its keys, by their sha256.",
        ),
        F::optional(
            "basic",
            List(&Shape::Object(&CREDENTIAL)),
            "Its names with passwords, by the sha256 of `user:password`.",
        ),
        F::optional(
            "claims",
            CLAIMS,
            "What is said about it, by name; `claim:NAME` of hashes and limits takes those that are a text, a number, `true` or `false`.",
        ),
        F::later(
            "groups",
            List(&Form(&forms::WORDS)),
            "Groups that it belongs to.",
        ),
        F::later("plan", Name("a plan"), "The plan that it is on."),
        F::later(
            "metadata",
            Table(&Text),
            "Whatever helps to find its owner.",
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
            "The sha256 of the credential, 64 hexadecimal digits.",
        ),
        F::optional(
            "not_after",
            Shape::Date,
            "The last day (UTC) on which it is admitted.",
        ),
    ],
};

static REQUIRED: Object = Object {
    what: "what is required",
    rules: &[],
    fields: &[
        F::optional(
            "policies",
            List(&Name("a policy")),
            "Policies that every operation has, first in their phase.",
        ),
        F::optional(
            "auth",
            List(&Name("a verifier")),
            "Verifiers of which every operation must use one.",
        ),
        F::optional(
            "allow_public",
            List(&Text),
            "Operation keys that may be public; `*` stands for any text.",
        ),
    ],
};

static DEFAULTS: Object = Object {
    what: "the defaults",
    rules: &[],
    fields: &[
        F::optional("upstream", Name("an upstream"), "Where requests go."),
        F::optional(
            "listeners",
            Several(&Name("a listener")),
            "Where mounts answer.",
        ),
        F::optional(
            "policies",
            List(&Name("a policy")),
            "What every chain begins with.",
        ),
        F::optional(
            "timeout",
            Timeout,
            "From the end of a request to the head of its response.",
        ),
        F::later(
            "validate",
            Shape::Object(&validate::author::SHAPE),
            "Whether messages are checked against the contract.",
        ),
        F::optional(
            "max_body",
            Size,
            "Bytes of a request's body; more is 413. Any number where nobody says it.",
        ),
        PATH_READINGS,
        F::optional(
            "security",
            Word(&["enforce", "upstream"]),
            "Who checks credentials: the gateway, or the upstream alone.",
        ),
        F::optional(
            "expose_bundle",
            Bool,
            "Whether responses name their bundle.",
        ),
        F::later(
            "serve_document",
            Either(&[Bool, Shape::Object(&SERVE)]),
            "Whether the gateway serves the documents.",
        ),
    ],
};

static RELEASE: Object = Object {
    what: "the release",
    rules: &[],
    fields: &[
        F::optional(
            "store",
            Text,
            "The folder that bundles go to; `releases` where nothing is said.",
        ),
        F::optional(
            "channel",
            Text,
            "The channel that is moved; `prod` where nothing is said.",
        ),
    ],
};

/// Digits of a fingerprint in files.
pub const FINGERPRINT_DIGITS: usize = 32;

/// A fingerprint, all of it.
pub static FINGERPRINT: diag::shape::Form = diag::shape::Form {
    what: "the fingerprint of a change: 32 hexadecimal digits in quotes, as `gwc plan` prints it",
    pattern: "[0-9a-f]{32}",
    fits: is_fingerprint,
};

/// True if a text can be a fingerprint.
#[must_use]
pub fn is_fingerprint(text: &str) -> bool {
    text.len() == FINGERPRINT_DIGITS
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
