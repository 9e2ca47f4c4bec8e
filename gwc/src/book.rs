//! Generated reference pages: diagnostics, changes, rules of other linters, and vocabulary.
//!
//! The pages are files in `docs/`, such as `docs/diagnostics.md` and `docs/vocabulary.md`. A test
//! checks that the files are current.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use diag::shape::{Field, NameKeys, Need, Object, Rule, Shape, Variant};

use vocab::extension;

/// Renders the page with every diagnostic, its explanation, and samples with and without the
/// finding.
#[must_use]
pub fn diagnostics() -> String {
    let mut lints: Vec<_> = openapi::lint::ALL.iter().copied().flatten().collect();
    lints.sort_by_key(|lint| lint.code);
    let mut page = String::from(
        "# Diagnostics\n\nEvery diagnostic of gwc, as `gwc explain CODE` prints it. Tests run the \
samples: the first has exactly this finding, the second does not have it.\n",
    );
    for lint in lints {
        let _ = write!(
            page,
            "\n## {} `{}`\n\n*{}*: {}.\n\n{}\n",
            lint.code,
            lint.name,
            match openapi::lint::is_off_by_default(lint) {
                true => "off by default",
                false => lint.level.name(),
            },
            lint.summary,
            lint.explain
        );
        for (title, sample) in [("With this finding:", lint.bad), ("Without it:", lint.good)] {
            let _ = write!(page, "\n{title}\n");
            for (file, text) in sample {
                let kind = if file.ends_with(".json") {
                    "json"
                } else {
                    "yaml"
                };
                let _ = write!(
                    page,
                    "\n```{kind}\n# {file}\n{}\n```\n",
                    visible(text).trim_end()
                );
            }
        }
    }
    page
}

/// Renders the page with every kind of change in a plan.
#[must_use]
pub fn changes() -> String {
    let mut page = String::from(
        "# Every kind of change\n\nAll ids that a line of a plan ([docs/plan.md](plan.md)) can have, by the section in which they\n\
usually appear. The plan shows the class beside the id, for example `weaken` or `strengthen`.\n",
    );
    for section in plan::Section::ALL {
        let _ = write!(
            page,
            "\n## {}\n\n| Id | Change |\n|---|---|\n",
            section.name().to_uppercase()
        );
        let kinds = plan::ids::ALL.iter();
        for kind in kinds.filter(|kind| kind.section == section) {
            let _ = writeln!(page, "| `{}` | {} |", kind.id, kind.means);
        }
    }
    page
}

/// Section about verdicts and witnesses of the page about changes for API clients.
const MEANING: &str = "\
## Meaning before keywords\n\nA keyword alone does not show a break: `oneOf` and `anyOf` of different types mean the same. gwc\n\
therefore compares the values that both schemas accept. Requests break if the old schema accepts a\n\
value that the new one refuses, responses if the new schema accepts one that the old one refuses.\n\
`message.verdict` in JSON has the result:\n\n| `message.verdict` | Meaning |\n|---|---|\n\
| `proved` | no value shows a break: a check of level `error` has the level `info` |\n\
| `refuted` | `message.witness` is such a value. gwd's validators have checked it |\n\
| `undecided` | gwc found neither a proof nor such a value in the allowed steps: the level of the check applies |\n\
| null | the check is not about accepted values, or its level is `warn` or `info` |\n\n\
The witness is a value at `message.path`. If a schema has several breaks, gwc looks for a witness\n\
for each line: a value that only the keyword of this line refuses. Without such a value, the line\n\
has the witness of another line if its keyword refuses that value, too. A line without a witness is\n\
`undecided`. `message.body` is a whole body that contains such a value and that\n\
shows the break. A line without such a body has no witness and is `undecided`: other schemas of the\n\
body may exclude the value, or another alternative of `anyOf` or `oneOf` may accept it. The body is\n\
null for parameters, headers, forms and texts, and above the maximum number of searches. The text,\n\
Markdown and HTML of a plan have the body, or the value if the body is longer than 160 characters.\n\n\
For `propertyNames`, the witness is an object with the name.\n\n\
A keyword that only other versions of OpenAPI have has no effect on a schema, for gwd too: `nullable`\n\
from 3.1 on, and `const`, `if`, `contains` or `patternProperties` in 3.0. An edit of such a keyword\n\
gives no line. A new version of the document can therefore be a break: 3.1 refuses the null that 3.0\n\
admits with `nullable: true`.\n\n\
If both schemas accept the same values, no check is reported. A break for which there is no other\n\
check is reported as `request-schema-narrowed` or `response-schema-widened`. This also applies\n\
beside differences of level `warn`: the witness is a value that their keywords do not refuse.\n\
Without a proof and without such a value, the line is `request-schema-changed` or `response-schema-changed`:\n\
level `warn`, `undecided`. A pattern that gwd does not enforce, such as one with look-ahead, has no\n\
known values. If a value shows the break when such patterns are left out, the line has the level\n\
`error` and is `undecided`.\n\n\
Parameters, headers and bodies other than JSON are sent as text, which can be read as several types.\n\
One schema accepts their witness, and the other refuses every interpretation of its text. The\n\
witness is a scalar. It is a list or an object if the other schema accepts nothing else, or if the\n\
list is sent as several occurrences of a name. Texts with characters that separate fields or begin\n\
an escape, such as `;` or `%`, are no witnesses, and neither are objects without members. An\n\
undecided pair has the line `request-schema-changed` only if an alternative, a condition or an inner\n\
schema differs. Clients may write an integer with the type `number` with an exponent (`1e2`), which\n\
gwd does not read as an `integer`. A format that gwd does not check (such as `email`) counts as equal\n\
only to the same format.\n\n\
JSON inside of a text is compared as JSON: a parameter or header with `content: application/json`, a\n\
property of a form that is an object or a list of objects, and `contentSchema`. If an `encoding` names\n\
JSON, all properties of the form are compared as JSON. A body with the type `*/*` or `application/*`\n\
is JSON.\n\n\
Proofs and witnesses assume that clients neither send nor read a property that their contract does\n\
not describe. A new optional property is therefore no break. If its name is another spelling of a name\n\
that is gone, such as another letter case, gwd refuses the old name (`request-property-respelled`,\n\
`request-parameter-respelled`). At each place, a property is described\n\
if one of these schemas names it, also by `additionalProperties`, `patternProperties`,\n\
`propertyNames`, `required` or `enum`:\n\n\
- a schema that the value matches;\n\
- an alternative of `anyOf` or `oneOf` that an object can match together with those schemas;\n\
- a schema of `not` or `if`.\n\n\
An `additionalProperties` of `true` or `{}` describes no property, because generators write it at\n\
every object. `$dynamicRef` is compared like a `$ref` to the schema with its anchor in the same\n\
resource. An edit of another schema with this anchor may give no line. If `additionalProperties`\n\
describes every name, gwd refuses other spellings of a new property, such as `amount` beside a new\n\
`Amount`. This gives no line.\n\n\
A `discriminator` can select a schema that extends the described one by `allOf`. Validation does not\n\
select it, but clients read the value by it. If it differs, the line is `request-schema-changed` or\n\
`response-schema-changed` with the keyword `discriminator`.\n\n\
Of 20,000 random pairs of small schemas, 0.7 % are undecided. Every other verdict agrees with an\n\
enumeration of values and with another validator (crate jsonschema).\n\n";

/// Sections about the settings of a project for checks of client contracts.
const PROJECT_SETTINGS: &str = "## Levels of a project\n\n\
`break_levels` of gateway.yaml sets the level of a check:\n\n\
```yaml\nbreak_levels: {response-optional-property-removed: error, request-property-pattern-added: info}\n```\n\n\
`x-gateway-lint: {allow: [CHECK]}` at an operation, a path item or the root of a document sets the\n\
level of a check to `info` there, also for callbacks of the operation. Webhooks have only the levels\n\
of `break_levels`. Differences of several operations with different levels have one\n\
line for each level. A check cannot be off, because a plan lists every difference. A proof\n\
(`proved`) still lowers a level. Some differences of a check with the level `error` are warnings,\n\
such as a new `maxItems` or `maxProperties`: the service may have enforced the limit before.\n\
`break_levels: {request-schema-narrowed: error}` raises them.\n\n\
The higher of the levels of both sides applies. A pull request that lowers a level therefore does\n\
not pass its own gate `break`; a raised level applies at once. If a side sets no level for a check,\n\
the default counts for this side. If an operation is missing or has another key on a side, that side\n\
has no `x-gateway-lint` for it. `gwc diff --fail-on break` uses the same levels. A changed level is\n\
a change of the rules (`break-level-changed`, `lint-allow-changed`), which the gates of the old side\n\
stop.\n\n\
`gwc diff A B --write-baseline FILE` writes the present breaks and removed operations to a file.\n\
`gwc diff A B --baseline FILE --fail-on break` fails only for changes that are not in the file. An\n\
entry is the fingerprint of a change, which covers both values. gwc prints a note about an entry\n\
that matches no change (`stale`). Plans have acknowledgements instead.\n\n\
## Deprecation and sunset\n\n\
`deprecations` of gateway.yaml requires a notice before an operation is removed:\n\n\
```yaml\ndeprecations: {notice_days: 90, apis: {orders: 180}}\n```\n\n\
A document states `deprecated: true` and the sunset, the last day: `x-sunset: 2027-01-31`, or\n\
`sunset` of `deprecated` in `x-gateway` or of a `deprecation` policy. gwd refuses requests after a\n\
`sunset` in `x-gateway` or of a policy. These days therefore count without `deprecated: true`. If\n\
there are several days, the earliest counts. From the day of the comparison to a new sunset there\n\
must be at least the days of the notice. If the old side requires a notice, an operation that is\n\
removed after its sunset does not trip the gate `break`; the gate `remove` applies. A removal before\n\
the sunset, or without deprecation, has a line of level `error`. The longer notice of both sides\n\
applies. A changed notice is a change of the rules (`notice-changed`). Operations with\n\
`x-stability-level: draft` or `alpha` need no notice. gwc reads these days from source artifacts,\n\
and compares operations by key.\n\n";

/// Renders the page with every check of client contracts.
#[must_use]
pub fn breaking_changes() -> String {
    let mut page = String::from(
        "# Changes for API clients\n\nThe section BREAKING of a plan compares the contracts of the old and the new side: what clients may\n\
send, and what they get. Each difference is one line: its id, its path in the message\n\
(`body.items[].price`, `response 200 body.id`, `query limit`), the keyword, and both values. A\n\
schema that several operations use has one line; `operations` lists the operations, `message.count`\n\
counts the messages that contain the value. Operations whose verdicts or witnesses differ have one\n\
line each.\n\n\
Two operations are compared if the new one serves requests that the old one served. The section\n\
ROUTING finds these requests (see *Routing, exactly* in [plans](plan.md)). Names of operations,\n\
APIs, mounts, path parameters and components have no effect. An operation is compared with several\n\
operations if its requests go to several: to a new literal path (`/users/me` beside `/users/{id}`),\n\
to the APIs into which its API was split, or to an operation with other conditions. An operation\n\
with a new literal path is not compared if the path parameter of the old operation excludes the\n\
literal: if `id` is an integer, no client sent `/users/me`. If a new operation has the same\n\
difference from several old operations, the plan has one line.\n\n\
An operation may share no request with the other side. gwc then looks for an operation with the same\n\
`operationId`, otherwise with the same method and path template below the base path. It searches the\n\
same API first. Then it searches each API of which other operations are already compared with\n\
operations of this API. In this last step, it also compares a removed API with an added API, if at\n\
least half of the operations of the smaller API are in both. An operation is `removed` only if no\n\
operation serves any of its requests.\n\n\
Parameters are compared by place and name, path parameters by position, bodies and responses by\n\
media type and status. A media type that only one side names is also compared with the type or range\n\
of the other side by which gwd checks its messages. For `application/json`, this can be\n\
`application/json; v=1` or `application/*`. If the new side still describes the requests of a media\n\
type that is gone, the line about the type is `proved`. A status that is new beside its class (`2XX`)\n\
is compared with the class, and the class itself may go: its removal is then `proved`. An error status\n\
that is new or gone is compared with its class or with `default`. The first success status is\n\
compared with `default`. `charset=utf-8` of JSON has no effect.\n\n\
The properties of an exploded object (`explode: true`, the default of the style `form`) are query\n\
fields or cookies of their own: the parameter `f` with the properties `a` and `b` is equal to the\n\
parameters `a` and `b`. If other parameters describe a field on the other side, gwc compares these\n\
parameters field by field, with paths such as `query a`. The name of the object has no effect.\n\
With `deepObject`, the fields are `f[a]` and `f[b]`.\n\n\
- A field that the object requires is also required if clients send only another field of it.\n\
- A list or an object as a property has another text than as a parameter\n\
\x20 (`request-serialization-changed`).\n\
- An object with keywords that restrict several fields together, such as `anyOf` or `maxProperties`,\n\
\x20 is an `undecided` break (`request-schema-narrowed`). It is none if an object of the other side has\n\
\x20 the same schema.\n\
- Fields that the object does not describe have no effect, also with `additionalProperties: false`:\n\
\x20 gwd checks only described fields.\n\n\
`explode` has no effect at the style `deepObject`. A new `allowEmptyValue` of a request admits more\n\
texts. A removed one is a break if the schema refuses the empty text.\n\n\
gwd checks no XML against schemas. A changed `xml` of an XML body is nevertheless a break, because\n\
clients write and read elements and attributes by these names. Its level is `warn` if only one side\n\
has `name`, which may state the default, and `info` for `prefix`.\n\n\
Callbacks are compared with those of the compared operations by method and URL, webhooks by\n\
name: within the same API, then within an API that was renamed, merged or split. For both, the\n\
directions are exchanged: clients receive their bodies. A required parameter, a body or a media\n\
type that they no longer get is a break. So are credentials (`security` of the callback or webhook)\n\
that they no longer get. If they are those of the root, a changed root is `info`: it mainly describes\n\
the requests of clients. A changed `operationId` is the line `operation-renamed` under DOCS.\n\n| Level | Class | Meaning |\n|---|---|---|\n\
| `error` | `break` | clients that follow the old contract fail |\n\
| `warn` | `changed` | some clients may be affected |\n\
| `info` | `changed` | no effect on clients that follow the old contract |\n\n\
`gates: [break]` in gateway.yaml, or `gwc plan --gate break`, stops at `break` and `removed` until\n\
each line is acknowledged; `gwc diff A B --fail-on break` ends with exit code 1. A value that is not\n\
part of the message (`readOnly` in requests, `writeOnly` in responses) has the level `info`.\n\n",
    );
    page.push_str(MEANING);
    page.push_str(PROJECT_SETTINGS);
    page.push_str(
        "## Checks\n\nIds and levels are those of [oasdiff](https://github.com/oasdiff/oasdiff), and a few are of gwc\n\
alone. `request-schema-…` and `response-schema-…` stand for keywords without a check of their own.\n\n\
| Id | Level | Change |\n|---|---|---|\n",
    );
    for check in vocab::checks::ALL.iter() {
        let (id, level) = (check.id, check.level.name());
        let _ = writeln!(page, "| `{id}` | {level} | {} |", check.means);
    }
    page.push_str("\n## Ids of oasdiff without a check\n\n| Id | Reason |\n|---|---|\n");
    let left_out: BTreeMap<&str, &str> = vocab::checks::left_out().collect();
    for (id, why) in vocab::checks::left_out() {
        let _ = writeln!(page, "| `{id}` | {why} |");
    }
    oasdiff_cases(&mut page, &left_out);
    page
}

/// Renders the cases of oasdiff's tests for which gwc reports something else. `left_out`: ids
/// without a check.
fn oasdiff_cases(page: &mut String, left_out: &BTreeMap<&str, &str>) {
    page.push_str(
        "\n## Cases that gwc decides otherwise\n\n\
A check of oasdiff compares keywords, gwc what they mean for messages. In these cases of oasdiff's own\n\
tests, gwc has the check but reports it in another way.\n\n\
| Case | Check | Level | Reported by | Reason |\n|---|---|---|---|---|\n",
    );
    for vocab::checks::Deviation { case, finding, why } in vocab::checks::deviations() {
        let (by, finding) = match finding.strip_prefix('+') {
            Some(finding) => ("gwc", finding),
            None => ("oasdiff", finding.trim_start_matches('-')),
        };
        let (level, id) = finding.split_once(' ').unwrap_or_default();
        if !left_out.contains_key(id) {
            let _ = writeln!(page, "| `{case}` | `{id}` | {level} | {by} | {why} |");
        }
    }
    page.push_str(
        "\n## Further breaks in cases of one rule\n\n\
Most cases of oasdiff run one rule. gwc compares everything, and reports these breaks in addition.\n\n\
| Case | Check | Cause |\n|---|---|---|\n",
    );
    for vocab::checks::FurtherBreak { case, id, why } in vocab::checks::further_breaks() {
        let _ = writeln!(page, "| `{case}` | `{id}` | {why} |");
    }
}

/// Renders the page that maps the rules of other linters to rules of gwc.
#[must_use]
#[cfg(feature = "others")]
pub fn other_linters() -> String {
    let mut page = String::from(
        "# Coming from another linter\n\nThis page maps the rules of other linters to those of gwc. Style rules are *off*:\n\
`gwc lint --rule NAME=warn`, or `lint: {NAME: warn}` in gateway.yaml, turns one on.\n\
`gwc explain NAME` shows a rule with samples. Tests compare this page with the lists of the other\n\
linters and with gwc's rules.\n",
    );
    let level = |name: &str| {
        let mut lints = openapi::lint::ALL.iter().copied().flatten();
        let lint = lints.find(|lint| lint.name == name);
        lint.map_or("", |lint| openapi::lint::default_level(lint))
    };
    for set in openapi::lint::others::SETS {
        let _ = write!(
            page,
            "\n## {}\n\n{} rules, from {}.\n\n| theirs | ours | remark |\n|---|---|---|\n",
            set.name,
            set.rows.len(),
            set.from
        );
        for (rule, names, why) in set.rows {
            let ours = names.iter().map(|name| match level(name) {
                "off" => format!("`{name}` (*off*)"),
                _ => format!("`{name}`"),
            });
            let ours: Vec<String> = ours.collect();
            let ours = if ours.is_empty() {
                "none".to_owned()
            } else {
                ours.join(", ")
            };
            let _ = writeln!(page, "| `{rule}` | {ours} | {why} |");
        }
    }
    page
}

/// Escapes and shortens a sample, which may contain unprintable bytes.
fn visible(text: &str) -> String {
    const MOST: usize = 1_200;
    let shown: String = text
        .chars()
        .take(MOST)
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    if text.chars().count() > MOST {
        format!("{shown}…")
    } else {
        shown
    }
}

/// Renders the page with every key of gateway.yaml and `x-gateway`.
#[must_use]
pub fn vocabulary() -> String {
    let mut page = String::from(
        "# Vocabulary\n\nThis page lists every key of gateway.yaml and of `x-gateway`. It is generated from the tables with which gwc checks a project. A key marked *later* is \
checked like every other one, but gwd does not support it yet: `gwc lint` warns `not-available` at \
such a key, and `gwc build` and `gwc plan` fail.\n\nDurations are `250ms`, `10s`, `5m`, `1h`; rates `10/s`, `600/min`; sizes `512B`, `64KiB`, \
`1MiB`; a bare number where a unit is needed is an error.\n\n# gateway.yaml\n",
    );
    let mut written = Vec::new();
    if let Shape::Object(object) = &vocab::gateway::SHAPE {
        table(&mut page, "gateway.yaml", object, &mut written);
    }
    page.push_str("\n# x-gateway\n");
    for (point, shape) in extension::POINTS {
        if let Shape::Object(object) = shape {
            table(
                &mut page,
                &format!("at {}", with_article(&point.replace('-', " "))),
                object,
                &mut written,
            );
        }
    }
    page.push_str("\n# Kinds of policy\n");
    kinds(&mut page, policy::KINDS, &mut written);
    page.push_str("\n# Kinds of verifier\n");
    kinds(&mut page, policy::auth::KINDS, &mut written);
    page.push_str("\n# Kinds of store\n");
    kinds(&mut page, vocab::shared::STORE_KINDS, &mut written);
    reasons(&mut page);
    page
}

/// Appends the table of error reasons, which are the keys of `errors` in gateway.yaml.
fn reasons(page: &mut String) {
    page.push_str(
        "\n# Reasons\n\nKeys of `errors`, and `code` of problem documents, logs and metrics. `gwc explain errors` \
prints them. gateway.yaml can set the response of every reason, and a *document* that of the \
reasons of a route. HTTP/1 messages that gwd cannot parse, and requests during overload, have \
fixed responses.\n\n| reason | status | in | meaning |\n|---|---|---|---|\n",
    );
    for reason in vocab::reasons::ALL.iter() {
        let place = match reason.of_route {
            true => "gateway.yaml, document",
            false => "gateway.yaml",
        };
        let (code, status, means) = (reason.code, reason.status, reason.means);
        let _ = writeln!(page, "| `{code}` | {status} | {place} | {means} |");
    }
}

/// Prepends the indefinite article to a name.
fn with_article(name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {name}")
}

fn table(page: &mut String, title: &str, object: &'static Object, written: &mut Vec<&'static str>) {
    written.push(object.what);
    let _ = write!(
        page,
        "\n## {title}\n\n| key | value | meaning |\n|---|---|---|\n"
    );
    let mut inner: Vec<&'static Object> = Vec::new();
    for field in object.fields {
        row(page, field);
        inner.extend(objects(&field.shape));
    }
    for sentence in object.rules.iter().filter_map(combination) {
        let _ = writeln!(page, "\n{sentence}");
    }
    for object in inner {
        if !written.contains(&object.what) {
            table(page, object.what, object, written);
        }
    }
}

fn row(page: &mut String, field: &Field) {
    let mark = match field.need {
        Need::Required => " (needed)",
        Need::Optional => "",
        Need::NotAvailable => " (later)",
    };
    let _ = writeln!(
        page,
        "| `{}`{mark} | {} | {} |",
        field.key,
        value(&field.shape),
        field.doc.replace('|', "\\|")
    );
}

/// Sentence about keys that are required together or exclude each other. `None` for other rules.
fn combination(rule: &Rule) -> Option<String> {
    match rule {
        Rule::One(keys) => Some(format!("Exactly one of {} is required.", quoted(keys))),
        Rule::AnyOf(keys) => Some(format!("At least one of {} is required.", quoted(keys))),
        Rule::Apart(keys, _) => Some(format!("At most one of {} is allowed.", quoted(keys))),
        Rule::Elsewhere(_) | Rule::Holds(_) => None,
    }
}

fn kinds(page: &mut String, variants: &'static [Variant], written: &mut Vec<&'static str>) {
    for variant in variants {
        let object = variant.object;
        let mark = if variant.runs { "" } else { " (later)" };
        let title = format!("`kind: {}`{mark}", variant.kind);
        if object.fields.is_empty() {
            let _ = write!(
                page,
                "\n## {title}\n\n{}. `kind` is the only setting.\n",
                object.what
            );
        } else {
            table(page, &title, object, written);
        }
    }
}

/// Object shapes that a value may have, at any depth of lists and maps.
fn objects(shape: &'static Shape) -> Vec<&'static Object> {
    match shape {
        Shape::Object(object) => vec![*object],
        Shape::Map(inner)
        | Shape::Table(inner)
        | Shape::Keyed(_, inner)
        | Shape::Known(_, inner)
        | Shape::ByName(_, inner)
        | Shape::List(inner)
        | Shape::Several(inner) => objects(inner),
        Shape::Either(shapes) => shapes.iter().flat_map(objects).collect(),
        _ => Vec::new(),
    }
}

fn value(shape: &Shape) -> String {
    match shape {
        Shape::Any => "any value".into(),
        Shape::Bool => "`true`, `false`".into(),
        Shape::True => "`true`".into(),
        Shape::Text | Shape::NamePattern(_) => "text".into(),
        Shape::Form(form) | Shape::Expression(form) => form.what.replace('|', "\\|"),
        Shape::Secret => "`${env:NAME}`, `${file:PATH}`".into(),
        Shape::TextOrSecret => "text, `${env:NAME}`, `${file:PATH}`".into(),
        Shape::Name(what) => format!("the name of {what}"),
        Shape::Integer(min, i64::MAX) => format!("from {min}"),
        Shape::Integer(min, max) if min == max => format!("{min}"),
        Shape::Integer(min, max) => format!("{min} to {max}"),
        Shape::Duration => "duration".into(),
        Shape::Timeout => "duration above zero".into(),
        Shape::Rate => "rate".into(),
        Shape::Size => "size".into(),
        Shape::Percent => "percentage".into(),
        Shape::Sha256 => "64 hexadecimal digits".into(),
        Shape::Date => "date".into(),
        Shape::Word(words) => quoted(words),
        Shape::WordOrName(word, what) => format!("`{word}`, or the name of {what}"),
        Shape::Partly(runs, later) => format!("{}; later {}", quoted(runs), quoted(later)),
        Shape::List(item) => format!("list: {}", value(item)),
        Shape::Map(item) | Shape::ByName(NameKeys::Define(_), item) => {
            format!("by name: {}", value(item))
        }
        Shape::Several(item) => format!("list, not empty: {}", value(item)),
        Shape::Table(item) | Shape::ByName(NameKeys::Refer(_), item) => {
            format!("map: {}", value(item))
        }
        Shape::Keyed(_, item) => format!("map: {}", value(item)),
        Shape::Known(keys, item) => format!("by {}: {}", keys.what, value(item)),
        Shape::Object(object) => object.what.into(),
        Shape::Kinds(_) => "a `kind` with its keys".into(),
        Shape::Either(shapes) => shapes.iter().map(value).collect::<Vec<_>>().join(" or "),
    }
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
