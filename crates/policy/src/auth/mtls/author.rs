//! Shape and checks of `kind: mtls` settings.

use diag::shape::{BAD_VALUE, Field, Form, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink};

use super::{Checked, Source, canonical, san, spiffe};

/// Keys of `kind: mtls`.
pub static SHAPE: Object = Object {
    what: "client certificates",
    fields: &[
        Field::optional(
            "sans",
            Shape::Several(&Shape::Form(&SAN)),
            "Allowed subject alternative names: DNS names, mail addresses, URIs; a certificate must have one of them. Default: any.",
        ),
        Field::optional(
            "spiffe",
            Shape::Several(&Shape::Form(&SPIFFE)),
            "Allowed SPIFFE ids, of which a certificate must have one. `*` stands for one segment, `**` at the end for one or more. Default: any certificate.",
        ),
        Field::optional(
            "subjects",
            Shape::Several(&Shape::Form(&SUBJECT)),
            "Allowed subjects (RFC 4514), the most specific part first; a certificate must have one of them. Default: any.",
        ),
        Field::optional(
            "header",
            Shape::Word(&["Client-Cert"]),
            "Field of a trusted proxy that carries the certificate (RFC 9440). Default: the certificate of the TLS connection.",
        ),
    ],
    rules: &[Rule::Holds(check_names)],
};

/// Syntax of a subject alternative name.
pub static SAN: Form = Form {
    what: "a DNS name, a mail address or a URI, as in a certificate",
    pattern: r"[A-Za-z0-9._-]+|[^\s:@]+@[A-Za-z0-9._-]+|[A-Za-z][A-Za-z0-9+.-]*:[!-~]*",
    fits: |text| san(text).is_some(),
};

/// Syntax of a subject.
pub static SUBJECT: Form = Form {
    what: "a subject such as `CN=alice,O=Acme` (RFC 4514), the most specific part first",
    pattern: r"[^=]+=.+",
    fits: |text| canonical(text).is_some(),
};

static SPIFFE: Form = Form {
    what: "a SPIFFE id such as `spiffe://example.org/orders`, `spiffe://example.org/ns/*/sa/web` or `spiffe://example.org/**`",
    pattern: r"spiffe://[a-z0-9._-]+(/([A-Za-z0-9._-]+|\*))*(/([A-Za-z0-9._-]+|\*\*?))",
    fits: spiffe::is_pattern,
};

/// Reports SPIFFE ids in `sans`, and URIs in `sans` if `spiffe` is also set.
fn check_names(node: NodeRef<'_>, sink: &mut Sink) {
    let names = node.get("sans").filter(|value| !value.is_null());
    let names: Vec<NodeRef<'_>> = names.into_iter().flat_map(NodeRef::items).collect();
    let has_ids = node.get("spiffe").is_some_and(|value| !value.is_null());
    for name in names {
        let text = name.scalar_text().unwrap_or_default();
        let finding = |message: &str, help: &str| {
            Diagnostic::new(&BAD_VALUE, name.span(), message.to_owned()).help(help.to_owned())
        };
        if text.starts_with("spiffe:") {
            sink.push(finding(
                "`sans` cannot contain a SPIFFE id",
                "write it under `spiffe`, which also refuses certificates with a second URI",
            ));
        } else if has_ids && text.contains(':') {
            sink.push(finding(
                "a certificate with a SPIFFE id has no other URI (X509-SVID §2)",
                "move the URI to another verifier, or remove `spiffe`",
            ));
        }
    }
}

/// Reads the settings of a verifier from a node that fits [`SHAPE`].
pub(in crate::auth) fn check(node: NodeRef<'_>) -> Option<Checked> {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let texts = |key: &str, form: fn(&str) -> Option<String>| -> Vec<String> {
        let items = get(key).into_iter().flat_map(NodeRef::items);
        let mut all: Vec<String> = items.filter_map(|item| form(item.scalar_text()?)).collect();
        all.sort();
        all.dedup();
        all
    };
    Some(Checked {
        sans: texts("sans", san),
        spiffe: texts("spiffe", |text| Some(text.to_owned())),
        subjects: texts("subjects", canonical),
        source: match get("header") {
            Some(_) => Source::Field,
            None => Source::Connection,
        },
    })
}
