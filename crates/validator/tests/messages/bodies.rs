//! Tests of the checks of bodies: media types, forms and text.

use http::header::CONTENT_TYPE;

use super::*;

#[test]
fn media_type_and_presence_decide_about_the_body() {
    let content = json!({
        "application/json": {"schema": {"type": "object"}},
        "application/octet-stream": {},
        "text/*": {},
    });
    let operation = operation(&Json::Null, &content, &[]);
    let of = |fields: &[(&str, &str)], is_empty: bool| {
        let fields = fields.iter().map(|(name, value)| {
            let name = HeaderName::try_from(*name).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        let headers: HeaderMap = fields.fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name, value);
            all
        });
        match operation.body_use(&headers, is_empty) {
            Ok(BodyUse::Pass) => 0,
            Ok(BodyUse::Read(_)) => 200,
            Ok(BodyUse::Split(_)) => 201,
            Err((reject, _)) => reject.status,
        }
    };
    assert_eq!(
        of(
            &[("content-type", "application/json; charset=utf-8")],
            false
        ),
        200
    );
    assert_eq!(
        of(&[("content-type", "application/octet-stream")], false),
        0
    );
    assert_eq!(of(&[("content-type", "text/plain")], false), 0);
    assert_eq!(of(&[("content-type", "application/xml")], false), 415);
    assert_eq!(of(&[("content-type", "x")], false), 415);
    assert_eq!(of(&[], false), 415);
    assert_eq!(of(&[], true), 400);
    let twice = [
        ("content-type", "text/plain"),
        ("content-type", "application/json"),
    ];
    assert_eq!(of(&twice, false), 415);
    let coded = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    assert_eq!(of(&coded, false), 415);
    let identity = [
        ("content-type", "application/json"),
        ("content-encoding", "identity"),
    ];
    assert_eq!(of(&identity, false), 200);
}

/// Servers decode texts with the charset of the message, so that another text would be checked.
#[test]
fn text_in_another_charset_is_refused() {
    let schema = json!({"type": "string", "pattern": "^[A-Za-z]+$"});
    let content = json!({"text/plain": {"schema": schema}});
    let operation = operation(&Json::Null, &content, &[]);
    for charset in ["IBM037", "utf-16be", "utf-7", "iso-8859-1"] {
        assert_eq!(
            read(
                &operation,
                &format!("text/plain; charset={charset}"),
                b"KKa"
            ),
            ["415 header content-type # must have the charset UTF-8"],
        );
    }
    for media_type in ["text/plain", "text/plain; charset=\"UTF-8\""] {
        assert!(read(&operation, media_type, b"KKa").is_empty());
        assert_eq!(read(&operation, media_type, b"../").len(), 1);
    }
}

#[test]
fn json_of_a_range_is_checked() {
    for range in ["*/*", "application/*"] {
        let content = json!({range: {"schema": {"type": "integer", "maximum": 9}}});
        let operation = operation(&Json::Null, &content, &[]);
        for media_type in ["application/json", "application/vnd.x+json"] {
            assert!(read(&operation, media_type, b"9").is_empty());
            assert_eq!(
                read(&operation, media_type, b"10"),
                ["body - # must be at most 9"]
            );
        }
        let passes = |fields: &HeaderMap| operation.body_use(fields, false) == Ok(BodyUse::Pass);
        assert!(passes(&HeaderMap::new()), "without a type");
        let other = HeaderValue::from_static("application/pdf");
        assert!(passes(&HeaderMap::from_iter([(CONTENT_TYPE, other)])));
    }
    // A string is the content of a file of any type.
    let file = json!({"*/*": {"schema": {"type": "string", "format": "binary"}}});
    let upload = operation(&Json::Null, &file, &[]);
    assert!(read(&upload, "application/json", b"{}").is_empty());
    // A described type is nearer than a range.
    let content = json!({
        "*/*": {"schema": {"type": "integer"}},
        "application/json": {"schema": {"type": "string"}},
    });
    let operation = operation(&Json::Null, &content, &[]);
    assert!(read(&operation, "application/json", b"\"a\"").is_empty());
    assert_eq!(read(&operation, "application/json", b"1").len(), 1);
    assert_eq!(read(&operation, "application/a+json", b"\"a\"").len(), 1);
}

#[test]
fn other_value_of_a_parameter_is_another_type() {
    let content = json!({"multipart/form-data; boundary=x": {}});
    let form = operation(&Json::Null, &content, &[]);
    assert!(read(&form, "multipart/form-data; boundary=y", b"").is_empty());
    let content = json!({
        "application/a+json; version=1": {"schema": {"type": "integer"}},
        "application/a+json; version=2": {"schema": {"type": "string"}},
    });
    let operation = operation(&Json::Null, &content, &[]);
    assert!(read(&operation, "application/a+json;version=2", b"\"a\"").is_empty());
    assert_eq!(
        read(&operation, "application/a+json;version=3", b"1"),
        ["415 header content-type # must be one of application/a+json"]
    );
}

#[test]
fn urlencoded_form_is_checked_as_an_object() {
    let schema = json!({
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": {"type": "integer"},
            "l": {"type": "array", "items": {"type": "integer"}},
            "c": {"type": "array", "items": {"type": "integer"}},
            "o": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    });
    let content = json!({"application/x-www-form-urlencoded": {
        "schema": schema,
        "encoding": {"c": {"style": "form", "explode": false}},
    }});
    let operation = operation(&Json::Null, &content, &[]);
    let form = |text: &str| {
        read(
            &operation,
            "application/x-www-form-urlencoded",
            text.as_bytes(),
        )
    };
    for valid in [
        "n=1",
        "n=1&l=1&l=2&c=1,2",
        "n=1&l%5B%5D=1&l[]=2&other=a+b",
        "n=1&o[a]=1",
        "n=1&o=%7B%22a%22%3A1%7D",
        "n=1&l=1",
        "n=1&_n=x&[x]=1&!x=1&model.x=1&m.x=1",
    ] {
        assert_eq!(form(valid), [""; 0], "{valid}");
    }
    for (invalid, pointer) in [
        ("l=1", "#"),
        ("n=x", "#/n"),
        ("n=1&n=2", "#"),
        ("n=1&l=1&l=x", "#/l/1"),
        ("n=1&c=1,x", "#/c/1"),
        ("n=1&o[a]=x", "#/o/a"),
        ("n=1&o=%7B%22a%22%3A%22x%22%7D", "#/o/a"),
        ("n=1&o=%7B", "#"),
        ("n=1&N=x", "#/n"),
        ("n=1&+n=x", "#/n"),
        ("n=1&n[]=x", "#/n"),
        ("n=1&other;n=x", "#/n"),
        ("n=1&O[a]=x", "#/o"),
        ("n=1&o[A]=x", "#/o"),
        ("n=1&[n]=x", "#/n"),
        ("[n][x]=1&n=1", "#/n"),
        ("]n=x&n=1", "#/n"),
        ("[]n=x&n=1", "#/n"),
        ("n]=x&n=1", "#/n"),
        ("?n=x&n=1", "#/n"),
        ("!n=x&n=1", "#/n"),
        ("\u{feff}n=x&n=1", "#/n"),
        ("%EF%BB%BFn=x&n=1", "#/n"),
        ("\u{feff}[n]=x&n=1", "#/n"),
        ("n.0=x&n=1", "#/n"),
        ("model.n=x&n=1", "#/n"),
        ("model[l][0]=x&n=1", "#/l"),
        ("model.o.a=x&n=1", "#/o"),
        ("n=1&o[[a]=x", "#/o"),
    ] {
        let found = form(invalid);
        let expected = format!("body - {pointer} ");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{invalid} {found:?}"
        );
    }
}

#[test]
fn multipart_form_is_checked_by_its_parts() {
    let schema = json!({
        "type": "object",
        "required": ["file", "meta"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "meta": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 2}},
            "count": {"type": "integer"},
        },
    });
    let content = json!({"multipart/form-data": {
        "schema": schema,
        "encoding": {"file": {"contentType": "image/png, image/*"}},
    }});
    let operation = operation(&Json::Null, &content, &[]);
    let form = |parts: &[(&str, &str, &str)]| {
        let mut body = String::new();
        for (name, kind, text) in parts {
            body.push_str(&format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n"
            ));
            if !kind.is_empty() {
                body.push_str(&format!("Content-Type: {kind}\r\n"));
            }
            body.push_str(&format!("\r\n{text}\r\n"));
        }
        body.push_str("--b--\r\n");
        read(
            &operation,
            "multipart/form-data; boundary=b",
            body.as_bytes(),
        )
    };
    let file = ("file", "image/png", "\u{fffd}PNG");
    let meta = ("meta", "application/json", "{\"n\": 1}");
    assert_eq!(form(&[file, meta]), [""; 0]);
    assert_eq!(
        form(&[
            file,
            meta,
            ("tags", "", "a"),
            ("tags", "", "b"),
            ("count", "", "3")
        ]),
        [""; 0]
    );
    assert_eq!(
        form(&[file, meta, ("tags", "", "abc")]),
        ["body - #/tags/0 must have at most 2 characters"]
    );
    assert_eq!(
        form(&[file, meta, ("count", "", "x")]),
        ["body - #/count must be of type integer"]
    );
    assert_eq!(form(&[file, meta, ("tags[]", "", "ab")]), [""; 0]);
    assert_eq!(
        form(&[file, meta, ("tags[]", "", "abc")]),
        ["body - #/tags/0 must have at most 2 characters"]
    );
    let other = "has a name in another spelling, which some servers read as the described name";
    for name in [
        "COUNT",
        " count",
        "count[]",
        "count[0]",
        "count\0",
        "[count]",
        "]count",
        "count]",
        "!count",
        "model.count",
    ] {
        let found = form(&[file, meta, (name, "", "x")]);
        let expected = match name {
            // A form with a control character in a field name is refused as a whole.
            "count\0" => "body - # is not valid multipart/form-data".to_owned(),
            _ => format!("body - #/count {other}"),
        };
        assert_eq!(found, [expected], "{name:?}");
    }
    let nested = ("meta", "application/json", "{\"n\": 1, \"N\": \"x\"}");
    assert_eq!(
        form(&[file, nested]),
        ["body - #/meta has a name that some servers read as `n`"]
    );
    assert_eq!(form(&[meta]), ["body - # must have the property \"file\""]);
    assert_eq!(
        form(&[file, ("meta", "", "{}")]),
        ["body - #/meta must have the property \"n\""]
    );
    assert_eq!(
        form(&[("file", "text/html", "x"), meta]),
        ["body - #/file must have a media type that its `contentType` lists"]
    );
    assert_eq!(form(&[file, file, meta]).len(), 1);
    assert_eq!(read(&operation, "multipart/form-data", b"--b--").len(), 1);
}

/// gwd refuses a body if some server may find other fields in it than gwd does.
#[test]
fn multipart_forms_with_other_readings_are_refused() {
    let schema = json!({
        "type": "object",
        "properties": {"amount": {"type": "integer", "maximum": 3}, "file": {"type": "string"}},
    });
    let content = json!({"multipart/form-data": {"schema": schema}});
    let operation = operation(&Json::Null, &content, &[]);
    let send = |kind: &str, parts: &[&str]| {
        let part = |part: &&str| format!("--B\r\nContent-Disposition: form-data; {part}\r\n");
        let parts: String = parts.iter().map(part).collect();
        let kind = format!("multipart/form-data; {kind}");
        read(&operation, &kind, format!("{parts}--B--\r\n").as_bytes())
    };
    let disposition =
        "body - # has a part with a Content-Disposition that some servers interpret differently";
    let stray = "body - # contains its boundary outside of a delimiter line";
    let boundary = "body - # has no valid boundary in its Content-Type";
    let mark = "body - #/file begins with a byte order mark, which some servers remove";
    let amount = "name=\"amount\"\r\n\r\n1";
    let note = |name: &str| format!("{name}\r\n\r\n9");
    for (kind, part, expected) in [
        ("boundary=B", note("name=\"note\""), None),
        ("boundary=\"B\"; charset=utf-8", note("name=note"), None),
        (
            "boundary=B",
            note("name=\"file\"; filename=\"ä;b.txt\""),
            None,
        ),
        (
            "boundary=B",
            note("name=\"note\"; filename=\"=?utf-8?B?YQ==?=\""),
            None,
        ),
        (
            "boundary=B",
            note("name=\"file\"; filename=\"=?utf-8?B?YQ==?=\""),
            None,
        ),
        (
            "boundary=B",
            "name=file\r\n\r\n\u{feff}a".to_owned(),
            Some(mark),
        ),
        ("boundary=B", "name=note\r\n\r\n\u{feff}a".to_owned(), None),
        (
            "boundary=B",
            "name=file; filename=a\r\n\r\n\u{feff}a".to_owned(),
            None,
        ),
        (
            "boundary=B",
            note("name=\"=?utf-8?q?amount?=\""),
            Some(disposition),
        ),
        (
            "boundary=B",
            note("filename=\"a;name=amount\"; name=\"y\""),
            Some(disposition),
        ),
        ("boundary=B", note("name=amount/x"), Some(disposition)),
        (
            "boundary=B",
            note("name=\"\u{feff}amount\""),
            Some(disposition),
        ),
        (
            "boundary=B",
            note("name=y\r\n\r\nx--B\r\nX: 1"),
            Some(stray),
        ),
        (
            "boundary=B",
            note("name=y\r\n\r\nx\r\n--B \r\nX: 1"),
            Some(stray),
        ),
        ("boundary=\"\\B\"", note("name=y"), Some(boundary)),
        ("boundary =B", note("name=y"), Some(boundary)),
        (
            "x=boundary; y=C; boundary=B",
            note("name=y"),
            Some(boundary),
        ),
    ] {
        let found = send(kind, &[amount, &part]);
        let expected: Vec<&str> = expected.into_iter().collect();
        assert_eq!(found, expected, "{kind} {part:?}");
    }
}

#[test]
fn text_body_is_checked_as_a_string() {
    let content = json!({"text/plain": {"schema": {"type": "string", "maxLength": 3}}});
    let operation = operation(&Json::Null, &content, &[]);
    assert_eq!(read(&operation, "text/plain", "äöü".as_bytes()), [""; 0]);
    assert_eq!(read(&operation, "text/plain", b"1234").len(), 1);
    assert_eq!(
        read(&operation, "text/plain", b"\xff"),
        ["body - # is not UTF-8"]
    );
    assert_eq!(
        read(&operation, "text/plain", "\u{feff}ab".as_bytes()),
        ["body - # begins with a byte order mark, which some servers remove"]
    );
}

#[test]
fn members_in_other_letter_cases_are_found() {
    let item =
        json!({"type": "object", "properties": {"amount": {"type": "integer", "maximum": 9}}});
    let schema = json!({
        "type": "object",
        "properties": {
            "amount": {"type": "integer", "maximum": 9},
            "Amount2": {"type": "integer"},
            "amount2": {"type": "integer"},
            "items": {"type": "array", "items": item},
            "any": {"type": "object", "additionalProperties": item},
        },
    });
    let of = |name: &str, at: &str| {
        vec![format!(
            "body - #{at} has a name that some servers read as `{name}`"
        )]
    };
    for (body, expected) in [
        (r#"{"amount":3,"Amount":99}"#, of("amount", "")),
        (r#"{"AMOUNT":99}"#, of("amount", "")),
        (r#"{"amount":3,"amount\u0000":99}"#, of("amount", "")),
        (r#"{"Amount\u0000x":99}"#, of("amount", "")),
        (r#"{"amounts\u0000":99,"\u0000amount":99}"#, Vec::new()),
        ("{\"Item\u{17f}\":[]}", of("items", "")),
        (r#"{"items":[{},{"Amount":99}]}"#, of("amount", "/items/1")),
        (
            r#"{"any":{"x/y":{"aMount":99}}}"#,
            of("amount", "/any/x~1y"),
        ),
        (
            r#"{"amount":3,"Amount2":1,"amount2":2,"other":{"AMOUNT":1}}"#,
            Vec::new(),
        ),
        (r#"{"amounts":99,"any":{"Amount":{},"ANY":{}}}"#, Vec::new()),
    ] {
        assert_eq!(of_body(&schema, body), expected, "{body}");
    }
}

/// Tests each keyword that describes members of a value or of an inner value.
#[test]
fn members_of_all_keywords_are_found_in_other_cases() {
    let adm = json!({"properties": {"adm": {"enum": [false]}}});
    let kind = json!({"properties": {"kind": {"const": "a"}}, "required": ["kind"]});
    let other = r#"{"kind":"b","x":1}"#;
    for (schema, body, at) in [
        (
            json!({"if": kind, "then": adm}),
            r#"{"kind":"a","ADM":true}"#,
            "",
        ),
        (
            json!({"if": kind, "else": adm}),
            r#"{"kind":"b","ADM":true}"#,
            "",
        ),
        (json!({"if": adm, "then": {}}), r#"{"ADM":true}"#, ""),
        (
            json!({"not": {"properties": {"adm": {"const": true}}, "required": ["adm"]}}),
            r#"{"ADM":true}"#,
            "",
        ),
        (
            json!({"dependentSchemas": {"kind": adm}}),
            r#"{"kind":"b","ADM":1}"#,
            "",
        ),
        (
            json!({"patternProperties": {"^x-": adm}}),
            r#"{"x-a":{"ADM":1}}"#,
            "/x-a",
        ),
        (
            json!({"properties": {"x-a": {}}, "patternProperties": {"^x-": adm}}),
            r#"{"x-a":{"ADM":1}}"#,
            "/x-a",
        ),
        (
            json!({"unevaluatedProperties": adm}),
            r#"{"a":{"ADM":1}}"#,
            "/a",
        ),
        (
            json!({"properties": {"l": {"prefixItems": [{}, adm]}}}),
            r#"{"l":[{"ADM":1},{"ADM":1}]}"#,
            "/l/1",
        ),
        (
            json!({"properties": {"l": {"prefixItems": [{}], "items": adm}}}),
            r#"{"l":[{"ADM":1},{"ADM":1}]}"#,
            "/l/1",
        ),
        (
            json!({"properties": {"l": {"contains": adm}}}),
            r#"{"l":[{"ADM":1}]}"#,
            "/l/0",
        ),
        (
            json!({"properties": {"l": {"unevaluatedItems": adm}}}),
            r#"{"l":[{"ADM":1}]}"#,
            "/l/0",
        ),
        (
            json!({"allOf": [
                {"properties": {"a": {"properties": {"id": {}}}}},
                {"properties": {"a": adm}},
            ]}),
            r#"{"a":{"ADM":1}}"#,
            "/a",
        ),
    ] {
        let expected = format!("body - #{at} has a name that some servers read as `adm`");
        assert_eq!(of_body(&schema, body), [expected], "{schema} {body}");
        assert_eq!(of_body(&schema, other), [""; 0], "{schema}");
    }
    // The letter case of names is not checked in members whose name does not match the pattern, or
    // at other positions.
    for (schema, body) in [
        (
            json!({"patternProperties": {"^x-": adm}}),
            r#"{"y-a":{"ADM":1}}"#,
        ),
        (
            json!({"properties": {"a": {}}, "additionalProperties": adm}),
            r#"{"a":{"ADM":1}}"#,
        ),
        (
            json!({"allOf": [adm, {"properties": {"ADM": {}}}]}),
            r#"{"ADM":true}"#,
        ),
    ] {
        assert_eq!(of_body(&schema, body), [""; 0], "{schema} {body}");
    }
}

#[test]
fn members_of_forms_in_dot_notation_are_found() {
    let object = json!({"type": "object", "properties": {
        "role": {"enum": ["user"]},
        "sub": {"type": "object", "properties": {"x": {"enum": [1]}}},
    }});
    let schema = json!({"type": "object", "properties": {
        "f": object, "name": {"type": "string"},
    }});
    let form = "application/x-www-form-urlencoded";
    let content = json!({form: {
        "schema": schema, "encoding": {"f": {"style": "deepObject", "explode": true}},
    }});
    let operation = operation(&Json::Null, &content, &[]);
    for (body, finds) in [
        ("f[role]=user&f[sub][x]=1", false),
        ("f.role=admin", true),
        ("F.Role=admin", true),
        ("f[sub].x=2", true),
        ("f[sub.x]=2", true),
        ("f[other.x]=2", false),
        ("name.x=2&g.role=1", true),
        ("names.x=2&g.role=1", false),
        ("%u0066[role]=admin", true),
        ("name=%u0061", true),
    ] {
        let found = read(&operation, form, body.as_bytes());
        assert_eq!(found.len(), usize::from(finds), "{body} {found:?}");
    }
}

#[test]
fn empty_body_is_a_form_without_fields() {
    let content = json!({
        "application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "application/json": {"schema": {"type": "object"}},
    });
    let operation = operation(&Json::Null, &content, &[]);
    let is_refused = |media_type: &'static str| {
        let value = HeaderValue::from_static(media_type);
        let headers = HeaderMap::from_iter([(HeaderName::from_static("content-type"), value)]);
        match operation.body_use(&headers, true) {
            Ok(BodyUse::Read(kind)) => !operation.body(&kind, b"").is_empty(),
            Ok(_) => panic!("the body is not read"),
            Err(_) => true,
        }
    };
    assert!(!is_refused("application/x-www-form-urlencoded"));
    assert!(is_refused("application/json"));
}
