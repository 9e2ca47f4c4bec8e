//! Tests of the fields of the access log.

use super::*;
use crate::cx::tests::{filter, head, with_cx};
use crate::logged::LoggedParameter;

fn field(name: &str, source: Source, form: Option<LogForm>) -> LogField {
    let name = name.to_owned();
    LogField { name, source, form }
}

/// Fields of a request: name, value and form. `hidden`: values that the operation hides.
fn shown(fields: Vec<LogField>, hidden: HiddenValues<'_>) -> Vec<(String, String)> {
    let mut head = head("/orders/4%2F2?n=a%20b&n=c&long=&sid=s");
    let headers = &mut head.headers;
    headers.append("x-tenant", "one".parse().unwrap());
    headers.append("x-tenant", "two".parse().unwrap());
    headers.append("x-long", "\u{e9}".repeat(200).parse().unwrap());
    headers.append("user-agent", "curl".parse().unwrap());
    headers.append("cookie", "theme=dark; other=1".parse().unwrap());
    let filter = filter(&Checked { fields });
    let mut all = Vec::new();
    with_cx(|cx| {
        let path = [("id", 8..13)];
        let fields = filter.fields((&head, &path), hidden, cx).into_iter();
        all = fields
            .map(|one| {
                let value = one.shown(|form, value| {
                    format!("{} {}", form.word(), String::from_utf8_lossy(value))
                });
                (
                    one.name.to_owned(),
                    String::from_utf8(value.into_owned()).unwrap(),
                )
            })
            .collect();
    });
    all
}

fn nothing_hidden() -> HiddenValues<'static> {
    HiddenValues {
        secret: SecretParameters::none(),
        parameters: LoggedParameters::none(),
        path: &[],
        hides_query: false,
        redacted: &[],
    }
}

fn lines(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let all = expected.iter();
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn values_come_from_their_sources() {
    let found = shown(
        vec![
            field("a", Source::Header("x-tenant".into()), None),
            field("b", Source::Cookie("theme".into()), Some(LogForm::Hash)),
            field("c", Source::Query("n".into()), Some(LogForm::Keep)),
            field("d", Source::Path("id".into()), None),
            field("e", Source::Header("x-absent".into()), None),
            field("f", Source::Claim("absent".into()), None),
            field("g", Source::Path("absent".into()), None),
            field("h", Source::Query("long".into()), None),
        ],
        nothing_hidden(),
    );
    let expected = [
        ("a", "one, two"),
        ("b", "hash dark"),
        ("c", "a b, c"),
        ("d", "4%2F2"),
        ("h", ""),
    ];
    assert_eq!(found, lines(&expected));
}

#[test]
fn hash_is_that_of_the_value_without_escapes() {
    let mut head = head("/a%2525/?n=%2525");
    head.headers.append("x-n", "%25".parse().unwrap());
    let fields = [
        Source::Path("id".into()),
        Source::Query("n".into()),
        Source::Header("x-n".into()),
    ];
    let fields = fields.into_iter();
    let fields = fields.map(|source| field("f", source, Some(LogForm::Hash)));
    let filter = filter(&Checked {
        fields: fields.collect(),
    });
    with_cx(|cx| {
        let path = [("id", 2..7)];
        let fields = filter.fields((&head, &path), nothing_hidden(), cx);
        for field in fields {
            let hashed = field.shown(|_, value| String::from_utf8_lossy(value).into_owned());
            assert_eq!(*hashed, *b"%25");
        }
    });
}

#[test]
fn values_have_a_bounded_length() {
    let long = Source::Header("x-long".into());
    let found = shown(
        vec![
            field("a", long.clone(), None),
            field("b", long, Some(LogForm::Hash)),
        ],
        nothing_hidden(),
    );
    let all = "\u{e9}".repeat(200);
    let expected = [("a", &*"\u{e9}".repeat(128)), ("b", &format!("hash {all}"))];
    assert_eq!(
        found,
        lines(&expected),
        "the hash is that of the whole value"
    );
    assert_eq!(shortened(&[0xFF; 300]).len(), VALUE_BYTES_MAX);
}

#[test]
fn values_that_the_operation_hides_stay_hidden() {
    let parameter = |place, name: &str, form| LoggedParameter {
        place,
        name: name.to_owned(),
        form,
    };
    let redacted = |parameter| RedactedValue {
        message: Message::Request,
        place: "#".to_owned(),
        parameter: Some(parameter),
    };
    let parameters = LoggedParameters::new(&[
        parameter(LoggedLocation::Query, "n", LogForm::Redact),
        parameter(LoggedLocation::UserAgent, "user-agent", LogForm::Redact),
    ]);
    let secret = SecretParameters::new(&["sid"]);
    let hidden = HiddenValues {
        secret: &secret,
        parameters: &parameters,
        path: &[(8..13, LogForm::Hash)],
        hides_query: false,
        redacted: &[
            redacted(RedactedParameter::Header("x-tenant".into())),
            redacted(RedactedParameter::Cookie("theme".into())),
        ],
    };
    let keep = Some(LogForm::Keep);
    let found = shown(
        vec![
            field("a", Source::Path("id".into()), keep),
            field("b", Source::Query("n".into()), Some(LogForm::Hash)),
            field("c", Source::Query("sid".into()), keep),
            field("d", Source::Header("user-agent".into()), keep),
            field("e", Source::Header("x-tenant".into()), keep),
            field("f", Source::Cookie("theme".into()), keep),
            field("g", Source::Cookie("other".into()), keep),
        ],
        hidden,
    );
    let expected = [
        ("a", "hash 4/2"),
        ("b", "redact a b, c"),
        ("c", "redact s"),
        ("d", "redact curl"),
        ("e", "redact one, two"),
        ("f", "redact dark"),
        ("g", "1"),
    ];
    assert_eq!(found, lines(&expected));
    // A part of the path that servers read as the query, and a hidden query.
    let found = shown(
        vec![
            field("a", Source::Path("id".into()), keep),
            field("b", Source::Query("long".into()), keep),
        ],
        HiddenValues {
            path: &[(11..13, LogForm::Redact)],
            hides_query: true,
            ..hidden
        },
    );
    let expected = [("a", "redact 4/2"), ("b", "redact ")];
    assert_eq!(found, lines(&expected));
}
