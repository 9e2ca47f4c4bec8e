//! Fuzz targets for the parameters and bodies of validated requests.

use std::sync::LazyLock;

use bundle::ir::{Body, ContractOperation, MediaType, Parameter, ParameterPlace, Set, Value};
use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue};
use policy::invalid::{Finding, Invalid, REQUEST};
use validator::{BodyUse, Cone, Head, Operation};

static OPERATION: LazyLock<Operation> = LazyLock::new(operation);

fn map(entries: &[(&str, Value)]) -> Value {
    let entries = entries.iter();
    let mut entries: Vec<(Box<str>, Value)> = entries
        .map(|(key, value)| ((*key).into(), value.clone()))
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Map(entries)
}

/// API operation with a parameter of each style, and with bodies of each form.
fn operation() -> Operation {
    let text = |text: &str| Value::Text(text.into());
    let kind = |name: &str| map(&[("type", text(name))]);
    let array = map(&[("type", text("array")), ("items", kind("integer"))]);
    let object = map(&[
        ("type", text("object")),
        (
            "properties",
            map(&[("a", kind("integer")), ("b", array.clone())]),
        ),
        ("additionalProperties", Value::Bool(false)),
    ]);
    let mut parameters = Vec::new();
    for (place, styles) in [
        (
            ParameterPlace::Query,
            &["form", "spaceDelimited", "pipeDelimited", "deepObject"][..],
        ),
        (ParameterPlace::Path, &["simple", "label", "matrix"]),
        (ParameterPlace::Header, &["simple"]),
        (ParameterPlace::Cookie, &["form"]),
    ] {
        for style in styles {
            for explode in [false, true] {
                for (kind, schema) in [
                    ("x", kind("integer")),
                    ("y", array.clone()),
                    ("z", object.clone()),
                ] {
                    parameters.push(Parameter {
                        place,
                        name: format!("{kind}{}{}", &style[..1], u8::from(explode)),
                        required: false,
                        definition: map(&[
                            ("style", text(style)),
                            ("explode", Value::Bool(explode)),
                            ("schema", schema),
                        ]),
                    });
                }
            }
        }
    }
    let types = [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain",
    ];
    let types = types.map(|name| MediaType {
        name: name.into(),
        definition: map(&[("schema", object.clone())]),
    });
    let operation = ContractOperation {
        key: "a/b".into(),
        deprecated: false,
        parameters,
        body: Some(Body {
            required: false,
            media_types: Set::new(types.into()).expect("names differ"),
        }),
        responses: Vec::new(),
        security: None,
    };
    Operation::compile(&Cone::of(&operation, &[])).expect("our own schemas compile")
}

/// Checks that there are at most 20 findings, and that the text of the findings is a JSON array.
fn check_findings(findings: Vec<Finding>) {
    assert!(findings.len() <= 20);
    let invalid = Invalid {
        reject: &REQUEST,
        findings,
    };
    let value: serde_json::Value = serde_json::from_str(&invalid.to_string()).expect("JSON");
    assert!(value.is_array());
}

/// Fuzz target for queries. Checks a query, then removes undescribed parameters. No undescribed
/// parameter may remain.
pub fn query(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else {
        return;
    };
    head("/", Some(query), &HeaderMap::new());
    if let Some(stripped) = OPERATION.stripped(query, &[]) {
        assert!(
            OPERATION.undeclared(&stripped, &[]).is_empty(),
            "{stripped:?}"
        );
        assert_eq!(OPERATION.stripped(&stripped, &[]), None);
    }
}

/// Fuzz target for path parameters.
pub fn path_parameter(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        head(&format!("/{text}"), None, &HeaderMap::new());
    }
}

/// Fuzz target for cookies and header parameters.
pub fn cookie(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let mut headers = HeaderMap::from_iter([(COOKIE, value.clone())]);
    for name in ["xs0", "ys1", "zs0", "zs1"] {
        headers.insert(HeaderName::from_static(name), value.clone());
    }
    head("/", None, &headers);
}

fn head(path: &str, query: Option<&str>, headers: &HeaderMap) {
    let names = ["xs0", "yl1", "zm1", "zs1", "xm0"];
    let bound = names.map(|name| (name, 1..path.len()));
    check_findings(OPERATION.head(&Head {
        path,
        bound: &bound,
        query,
        headers,
    }));
}

/// Fuzz target for urlencoded forms.
pub fn form_body(data: &[u8]) {
    body("application/x-www-form-urlencoded", data);
}

/// Fuzz target for multipart forms. The first line is the boundary.
pub fn multipart_body(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n');
    let (boundary, rest) = data.split_at(at.unwrap_or(0));
    let boundary = String::from_utf8_lossy(boundary);
    body(
        &format!("multipart/form-data; boundary={boundary}"),
        rest.get(1..).unwrap_or_default(),
    );
}

/// Fuzz target for JSON bodies. The validation must refuse each body that serde_json refuses.
pub fn json_body(data: &[u8]) {
    let findings = body("application/json", data);
    let read = serde_json::from_slice::<serde_json::Value>(data);
    assert!(data.is_empty() || read.is_ok() || findings != Some(0));
}

fn body(media_type: &str, data: &[u8]) -> Option<usize> {
    let value = HeaderValue::from_str(media_type).ok()?;
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
    match OPERATION.body_use(&headers, false) {
        Ok(BodyUse::Read(kind)) => {
            let findings = OPERATION.body(&kind, data);
            let count = findings.len();
            check_findings(findings);
            Some(count)
        }
        Ok(BodyUse::Split(_) | BodyUse::Pass) => None,
        Err((_, finding)) => {
            check_findings(vec![finding]);
            None
        }
    }
}
