//! Checks of parameters in each style.

use super::*;

/// Values of the table in OpenAPI 3.1 §4.8.12 and 3.2 (*Style Examples*): style, explode, and the
/// texts of an empty string, a string, an array and an object.
const STYLES: &[(&str, &str, bool, [&str; 3])] = &[
    (
        "path",
        "simple",
        false,
        ["blue", "blue,black,brown", "R,100,G,200,B,150"],
    ),
    (
        "path",
        "simple",
        true,
        ["blue", "blue,black,brown", "R=100,G=200,B=150"],
    ),
    (
        "path",
        "label",
        false,
        ["blue", "blue,black,brown", "R,100,G,200,B,150"],
    ),
    (
        "path",
        "label",
        true,
        ["blue", "blue.black.brown", "R=100.G=200.B=150"],
    ),
    (
        "path",
        "matrix",
        false,
        ["blue", "blue,black,brown", "R,100,G,200,B,150"],
    ),
    (
        "path",
        "matrix",
        true,
        ["blue", "blue;color=black;color=brown", ""],
    ),
    (
        "header",
        "simple",
        false,
        ["blue", "blue,black,brown", "R,100,G,200,B,150"],
    ),
    (
        "header",
        "simple",
        true,
        ["blue", "blue, black, brown", "R=100,G=200,B=150"],
    ),
    (
        "query",
        "form",
        false,
        [
            "color=blue",
            "color=blue,black,brown",
            "color=R,100,G,200,B,150",
        ],
    ),
    (
        "query",
        "form",
        true,
        [
            "color=blue",
            "color=blue&color=black&color=brown",
            "R=100&G=200&B=150",
        ],
    ),
    (
        "query",
        "spaceDelimited",
        false,
        [
            "",
            "color=blue%20black%20brown",
            "color=R%20100%20G%20200%20B%20150",
        ],
    ),
    (
        "query",
        "pipeDelimited",
        false,
        [
            "",
            "color=blue%7Cblack%7Cbrown",
            "color=R%7C100%7CG%7C200%7CB%7C150",
        ],
    ),
    (
        "query",
        "deepObject",
        true,
        ["", "", "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"],
    ),
    (
        "cookie",
        "form",
        false,
        [
            "color=blue",
            "color=blue,black,brown",
            "color=R,100,G,200,B,150",
        ],
    ),
    (
        "cookie",
        "form",
        true,
        [
            "color=blue",
            "color=blue; color=black; color=brown",
            "R=100; G=200; B=150",
        ],
    ),
];

/// Findings about a request in which the parameter is written as `text`.
fn of_parameter(parameter: &Json, text: &str) -> Vec<String> {
    let operation = operation(&json!([parameter]), &Json::Null, &[]);
    let mut headers = HeaderMap::new();
    let name = parameter["name"].as_str().unwrap().to_owned();
    let (mut path, mut query) = (String::from("/"), None);
    match parameter["in"].as_str().unwrap() {
        "path" => path.push_str(text),
        "query" => query = Some(text),
        "header" => {
            let name = HeaderName::try_from(&name).unwrap();
            headers.insert(name, HeaderValue::from_str(text).unwrap());
        }
        _ => {
            headers.insert("cookie", HeaderValue::from_bytes(text.as_bytes()).unwrap());
        }
    }
    let bound = [(name.as_str(), 1..path.len())];
    finding_lines(&operation.head(&Head {
        path: &path,
        bound: &bound,
        query,
        headers: &headers,
    }))
}

/// Spellings of a character in a URL: raw, and percent-encoded.
fn spellings(character: char) -> [String; 2] {
    [
        character.to_string(),
        format!("%{:02X}", u32::from(character)),
    ]
}

/// Reserved characters (RFC 3986 §2.2) in a value are accepted raw and percent-encoded, with every
/// value of `allowReserved`.
#[test]
fn reserved_characters_are_read_raw_and_encoded() {
    let flags = [None, Some(false), Some(true)];
    let is_valid = |allow_reserved: Option<bool>, place: &str, schema: &Json, text: &str| {
        let mut parameter =
            json!({"in": place, "name": "q", "required": true, "schema": schema, "explode": false});
        if let Some(flag) = allow_reserved {
            parameter["allowReserved"] = flag.into();
        }
        of_parameter(&parameter, text).is_empty()
    };
    for (place, name, raw) in [
        ("query", "q=", ":/?[]@!$'()*,;=+"),
        ("path", "", ":@!$&'()*,;=+"),
    ] {
        for character in raw.chars() {
            let (own, other) = (format!("a{character}b"), json!({"enum": ["ab", "a", "b"]}));
            let own = json!({"enum": [own]});
            for (spelling, flag) in spellings(character)
                .iter()
                .flat_map(|spelling| flags.map(|flag| (spelling, flag)))
            {
                let text = format!("{name}a{spelling}b");
                assert!(
                    is_valid(flag, place, &own, &text),
                    "{place} {text} {flag:?}"
                );
                assert!(!is_valid(flag, place, &other, &text), "{place} {text}");
            }
        }
    }
    let items = |items: &[&str]| {
        let count = items.len();
        json!({"type": "array", "items": {"enum": items}, "minItems": count, "maxItems": count})
    };
    for flag in flags {
        for (schema, text, valid) in [
            // A raw `&` ends the value, and `#` cannot be in a query.
            (json!({"enum": ["a&b"]}), "q=a%26b", true),
            (json!({"enum": ["a&b"]}), "q=a&b", false),
            (json!({"enum": ["a#b"]}), "q=a%23b", true),
            // A raw `+` is a plus sign or a space, `%2B` a plus sign only.
            (json!({"enum": ["a b"]}), "q=a+b", true),
            (json!({"enum": ["a b"]}), "q=a%2Bb", false),
            // A raw comma separates items. `%2C` separates items or belongs to one.
            (items(&["a", "b"]), "q=a,b", true),
            (items(&["a,b"]), "q=a,b", false),
            (items(&["a", "b"]), "q=a%2Cb", true),
            (items(&["a,b"]), "q=a%2Cb", true),
        ] {
            let found = is_valid(flag, "query", &schema, text);
            assert_eq!(found, valid, "{schema} {text} {flag:?}");
        }
    }
}

#[test]
fn each_style_of_the_specification_is_read() {
    let color = json!({"type": "string", "enum": ["blue", "black", "brown"]});
    let amount = json!({"type": "integer", "minimum": 100});
    let schemas = [
        color.clone(),
        json!({"type": "array", "items": color, "minItems": 3, "maxItems": 3}),
        json!({
            "type": "object",
            "properties": {"R": amount, "G": amount, "B": amount},
            "required": ["R", "G", "B"],
            "additionalProperties": false,
        }),
    ];
    // The same requests are refused if one value of the schema differs.
    let others = [
        json!({"type": "string", "enum": ["black", "brown"]}),
        json!({"type": "array", "items": {"enum": ["blue", "brown"]}}),
        json!({"type": "object", "properties": {"G": {"type": "integer", "maximum": 199}, "R": {}, "B": {}}}),
    ];
    for (place, style, explode, texts) in STYLES {
        for (index, text) in texts.iter().enumerate() {
            if text.is_empty() {
                continue;
            }
            let parameter = |schema: &Json| {
                json!({
                    "in": place, "name": "color", "required": true, "style": style,
                    "explode": explode, "schema": schema,
                })
            };
            let found = of_parameter(&parameter(&schemas[index]), text);
            assert_eq!(found, [""; 0], "{place} {style} {explode} {text}");
            let found = of_parameter(&parameter(&others[index]), text);
            assert_eq!(found.len(), 1, "{place} {style} {explode} {text} {found:?}");
        }
    }
}

#[test]
fn parameters_leave_room_where_clients_differ() {
    let rows = [
        (
            json!({"in": "query", "name": "q", "schema": {"type": "string", "enum": ["a b"]}}),
            "q=a+b",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "string", "enum": ["a+b"]}}),
            "q=a+b",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "string", "format": "date-time"}}),
            "q=2024-01-01T00:00:00+02:00",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "explode": false, "schema": {"type": "array", "items": {"type": "integer"}}}),
            "q=1%2C2",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "integer"}}),
            "q=1&q=2",
            false,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": ["integer", "string"], "maxLength": 1}}),
            "q=12",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "string", "maxLength": 2}}),
            "q=12",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "boolean"}}),
            "q=yes",
            false,
        ),
        (
            json!({"in": "query", "name": "q", "required": true, "schema": {}}),
            "x=1",
            false,
        ),
        (
            json!({"in": "query", "name": "q", "required": true, "schema": {}}),
            "q",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "allowEmptyValue": true, "schema": {"type": "integer"}}),
            "q=",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "integer"}}),
            "q=",
            false,
        ),
        (
            json!({"in": "query", "name": "a[]", "schema": {"type": "array", "items": {"type": "integer"}}}),
            "a%5B%5D=1&a[]=2",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "style": "deepObject", "schema": {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}}}}}),
            "q[a][b]=1",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "style": "deepObject", "schema": {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}}}}}),
            "q[a][b]=x",
            false,
        ),
        (
            json!({"in": "query", "name": "q", "style": "deepObject", "schema": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}}),
            "q[a]=1&q[a]=2",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "content": {"application/json": {"schema": {"type": "object", "required": ["a"]}}}}),
            "q=%7B%22a%22:1%7D",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "content": {"application/json": {"schema": {"type": "object", "required": ["a"]}}}}),
            "q=%7B%7D",
            false,
        ),
        (
            json!({"in": "header", "name": "x-a", "schema": {"type": "integer"}}),
            "12",
            true,
        ),
        (
            json!({"in": "header", "name": "x-a", "schema": {"type": "integer"}}),
            "1x",
            false,
        ),
        (
            json!({"in": "header", "name": "accept", "schema": {"type": "integer"}}),
            "1x",
            true,
        ),
        (
            json!({"in": "cookie", "name": "s", "schema": {"type": "string", "pattern": "^[a-f]+$"}}),
            "a=1; s=\"abc\"",
            true,
        ),
        (
            json!({"in": "cookie", "name": "s", "schema": {"type": "string", "pattern": "^[a-f]+$"}}),
            "s=abc; other=\u{e9}",
            true,
        ),
        (
            json!({"in": "cookie", "name": "s", "schema": {"type": "string", "pattern": "^[a-f]+$"}}),
            "s=x; other=\u{e9}",
            false,
        ),
        (
            json!({"in": "cookie", "name": "s", "schema": {"type": "string", "pattern": "^[a-f]+$"}}),
            "s =x",
            false,
        ),
        (
            json!({"in": "cookie", "name": "s", "required": true, "schema": {"type": "string"}}),
            "a=1",
            false,
        ),
        (
            json!({"in": "path", "name": "p", "schema": {"type": "string", "enum": ["a/b"]}}),
            "a%2Fb",
            true,
        ),
    ];
    for (parameter, text, valid) in rows {
        let found = of_parameter(&parameter, text);
        assert_eq!(found.is_empty(), valid, "{parameter} {text} {found:?}");
        assert!(!found.concat().contains("SECRET"));
    }
}

#[test]
fn undescribed_names_are_found_behind_lookalikes() {
    let closed = json!([
        {"name": "page", "in": "query", "schema": {"type": "integer"}},
        {"name": "user_id", "in": "query", "schema": {"type": "string"}},
        {"name": "filter", "in": "query", "style": "deepObject", "schema": {
            "type": "object", "additionalProperties": false,
            "properties": {"role": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}}}},
        {"name": "sort", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
    ]);
    let open = json!([
        {"name": "page", "in": "query", "schema": {"type": "integer"}},
        {"name": "user", "in": "query", "schema": {
            "type": "object", "properties": {"role": {"enum": ["guest"]}, "first_name": {"type": "string"}}}},
    ]);
    let rows = [
        (
            &closed,
            "page=1&filter[role]=a&filter[tags][]=b&sort[any]=1",
            "",
        ),
        (&closed, "page=1&PAGE=2&page[]=3", "page=1"),
        (&closed, "filter[admin]=1&filter[role]=a", "filter[role]=a"),
        (
            &closed,
            "filter[ROLE]=a&filter[role][x]=b&page=1",
            "filter[role][x]=b&page=1",
        ),
        (&closed, "page=1;admin=2&user_id=3", "user_id=3"),
        (&closed, "page=1;page=2", ""),
        (&closed, "page=1%3Badmin=2", ""),
        (&closed, "user.id=1&user+id=2&page=1", "page=1"),
        (&open, "any=1&page=2", ""),
        (&open, "role=guest&ROLE=admin&any=1", "role=guest&any=1"),
        (
            &open,
            "role[]=admin&role[0]=admin&first.name=x&page=1",
            "page=1",
        ),
        (&open, "Page=1&any=1", "any=1"),
        (&open, "[role]=admin&]role=admin&!role=admin&any=1", "any=1"),
        (
            &open,
            "model.role=admin&model[role]=admin&model.any=1",
            "model.any=1",
        ),
        (&open, "=role=admin&==any=1", "==any=1"),
        (&open, "any=1;role[]=admin", ""),
    ];
    for (parameters, query, kept) in rows {
        let operation = operation(parameters, &Json::Null, &[]);
        let stripped = operation.stripped(query, &[]);
        let lookalike_only = query == "any=1;role[]=admin";
        match (kept, lookalike_only) {
            ("", false) => assert_eq!(stripped, None, "{query}"),
            (kept, _) => assert_eq!(stripped.as_deref(), Some(kept), "{query}"),
        }
        let is_refused = !operation.undeclared(query, &[]).is_empty();
        assert_eq!(is_refused, stripped.is_some(), "{query}");
    }
}

/// Findings about the parameters of a request with this query and these fields.
pub(super) fn of_request(parameters: &Json, query: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let operation = operation(parameters, &Json::Null, &[]);
    let fields = fields.iter().map(|(name, value)| {
        let name = HeaderName::try_from(*name).unwrap();
        (name, HeaderValue::try_from(*value).unwrap())
    });
    finding_lines(&operation.head(&Head {
        path: "/",
        bound: &[],
        query: Some(query),
        headers: &fields.collect(),
    }))
}

#[test]
fn other_spellings_of_described_names_are_found() {
    let parameters = json!([
        {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}},
        {"name": "q", "in": "query", "schema": {"type": "string"}},
        {"name": "role", "in": "query", "schema": {"enum": ["user"]}},
        {"name": "ids", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}},
        {"name": "filter", "in": "query", "style": "deepObject", "schema": {
            "type": "object", "properties": {
                "role": {"enum": ["user"]},
                "sub": {"type": "object", "properties": {"x": {"enum": [1]}}}}}},
        {"name": "page[size]", "in": "query", "schema": {"type": "integer"}},
        {"name": "ck", "in": "cookie", "schema": {"type": "integer"}},
        {"name": "X-Amount-Max", "in": "header", "schema": {"type": "integer"}},
    ]);
    for (query, name) in [
        ("limit=1&limit[]=101", "limit"),
        ("limit=1&+limit=101", "limit"),
        ("LIMIT=101", "limit"),
        ("limit%00=101", "limit"),
        ("q=1;role=admin", "role"),
        ("other;%52ole=admin", "role"),
        ("filter[ROLE]=admin", "filter"),
        ("Filter[role]=admin", "filter"),
        ("page[Size]=x", "page[size]"),
        ("ids[]=x", "ids"),
        ("ids[0]=x", "ids"),
        ("ids.0=x", "ids"),
        ("filter.role=admin", "filter"),
        ("FILTER.Role=admin", "filter"),
        ("filter[sub.x]=2", "filter"),
        ("filter[sub].x=2", "filter"),
        ("page.size=x", "page[size]"),
        ("%u0072ole=admin", "role"),
        ("%U0052OLE=admin", "role"),
        ("q=%u0061", "q"),
        ("[limit]=101", "limit"),
        ("%5Blimit%5D[x]=101", "limit"),
        ("[[limit]]=101", "limit"),
        ("]limit=101", "limit"),
        ("[]limit=101", "limit"),
        ("limit]=101", "limit"),
        ("?limit=101", "limit"),
        ("!limit=101", "limit"),
        ("limit.0=101", "limit"),
        (".limit=101", "limit"),
        ("model.limit=101", "limit"),
        ("model[limit]=101", "limit"),
        ("[page][size]=x", "page[size]"),
        ("[filter][role]=admin", "filter"),
        ("filter[[role]]=admin", "filter"),
        ("filter[[role]=admin", "filter"),
        ("q=1;[role]=admin", "role"),
        ("[%u0072ole]=admin", "role"),
        ("=limit=101", "limit"),
        ("limit=1&==limit=101", "limit"),
        ("=Role=admin", "role"),
        ("limit.x=101", "limit"),
        ("..limit=101", "limit"),
        ("q=1%zz", "q"),
        ("q=1%", "q"),
    ] {
        let found = of_request(&parameters, query, &[]);
        let expected = format!("query {name} #");
        let is_found = matches!(&found[..], [one] if one.starts_with(&expected));
        assert!(is_found, "{query} {found:?}");
    }
    for query in [
        "limit=1&q=1%3Brole=admin&role=user",
        "limits=1000&page[other]=x&any[other]=1",
        "ids[]=1&ids[]=2",
        "ids=1&q=a;b=c",
        "ids=1&q=a%3Bb=c&x=1;b=2&y=%zz",
        "filter[role]=user&filter[any]=1&filter[any.x]=1&filter[sub][x]=1",
        "_limit=1&model.other=1&[other]=1&!other=1&?x=1",
        "x.y=1&page.other=1&other=%u0061&q=100%25u0061",
    ] {
        assert_eq!(of_request(&parameters, query, &[]), [""; 0], "{query}");
    }
    for (field, value, is_found) in [
        ("cookie", "CK=x", true),
        ("cookie", "ck[]=x", true),
        ("cookie", "%63k=x", true),
        ("cookie", "ck%00=x", true),
        ("cookie", "\u{a0}ck=x", true),
        ("cookie", "ck=1; other=2; ack=x", false),
        ("cookie", "a=1, ck=x", true),
        ("cookie", "a=1,ck=1", true),
        ("cookie", "a=1\tck=x", true),
        ("cookie", "a=1 CK = x", true),
        ("cookie", "a=1, b=2; ck=1", false),
        ("cookie", "=ck=1", true),
        ("cookie", "a=1; ==CK=x", true),
        ("cookie", "a=1,=ck=1", true),
        ("cookie", "=a; b=ck=1", false),
        ("x_amount_max", "x", true),
        ("x-amount_max", "x", true),
        ("x-amountmax", "x", false),
    ] {
        let found = of_request(&parameters, "", &[(field, value)]);
        assert_eq!(
            found.len(),
            usize::from(is_found),
            "{field} {value} {found:?}"
        );
    }
}

/// Stripe's description allows a number or an object for one parameter in the style `deepObject`.
#[test]
fn scalars_of_deep_objects_have_no_brackets() {
    let range = json!({"type": "object", "properties": {"gt": {"type": "integer"}}});
    let schema = json!({"anyOf": [range, {"type": "integer"}]});
    let parameter = json!({
        "in": "query", "name": "created", "style": "deepObject", "explode": true, "schema": schema,
    });
    for (query, is_valid) in [
        ("created=7", true),
        ("created%5Bgt%5D=7", true),
        ("created=x", false),
        ("created=7&created=8", false),
        ("created=7&created%5Bgt%5D=7", false),
    ] {
        assert_eq!(
            of_parameter(&parameter, query).is_empty(),
            is_valid,
            "{query}"
        );
    }
    let closed = json!({"type": "object", "properties": {"gt": {"type": "integer"}}});
    let parameter = json!({
        "in": "query", "name": "created", "style": "deepObject", "explode": true, "schema": closed,
    });
    assert!(!of_parameter(&parameter, "created=7").is_empty());
}

#[test]
fn alternative_without_types_admits_scalars() {
    let object = json!({"type": "object", "additionalProperties": false, "properties": {"a": {"type": "integer"}}});
    for any in [json!({}), json!(true)] {
        let schema = json!({"anyOf": [any, object]});
        for (place, name, text) in [("query", "q", "q=x"), ("header", "x-a", "hello")] {
            let parameter = json!({"in": place, "name": name, "required": true, "schema": schema});
            let found = of_parameter(&parameter, text);
            assert!(found.is_empty(), "{parameter} {found:?}");
        }
    }
    // The schema itself has a type.
    let schema = json!({"type": "object", "anyOf": [{}, object]});
    let parameter = json!({"in": "header", "name": "x-a", "schema": schema});
    assert!(!of_parameter(&parameter, "hello").is_empty());
}
