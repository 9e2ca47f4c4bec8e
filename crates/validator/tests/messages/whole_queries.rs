//! Checks of parameters that describe the whole query (`in: querystring` of OpenAPI 3.2).

use super::parameters::of_request;
use super::*;

/// `in: querystring` (OpenAPI 3.2) describes the whole query by a media type.
#[test]
fn whole_query_is_checked_by_its_media_type() {
    let schema = json!({
        "type": "object", "required": ["limit"], "additionalProperties": false,
        "properties": {
            "limit": {"type": "integer", "maximum": 9},
            "tags": {"type": "array", "items": {"type": "string", "minLength": 2}},
            "at": {"type": "object", "properties": {"x": {"type": "integer"}}},
        },
    });
    let findings = |media_type: &str, media: &Json, required: bool, query: &str| {
        let parameter = json!({
            "in": "querystring", "name": "q", "required": required, "content": {media_type: media},
        });
        of_request(&json!([parameter]), query, &[])
    };
    let form = |media: &Json, query: &str| {
        findings("application/x-www-form-urlencoded", media, false, query)
    };
    let plain = json!({"schema": schema});
    for query in [
        "",
        "limit=9",
        "limit=%39&tags=ab&tags=cd",
        "tags=a+b&limit=1",
    ] {
        assert_eq!(form(&plain, query), [""; 0], "{query}");
    }
    for (query, expected) in [
        ("limit=10", "query q #/limit must be at most 9"),
        ("tags=ab", r#"query q # must have the property "limit""#),
        (
            "limit=1&tags=a",
            "query q #/tags/0 must have at least 2 characters",
        ),
        (
            "limit=1&other=2",
            "query q #/other is not described (additionalProperties)",
        ),
        (
            "limit=1&limit=2",
            "query q # does not have the described serialization, or gives a value twice",
        ),
        (
            "limit=1&LIMIT=99",
            "query q #/limit has a name in another spelling, which some servers read as the described name",
        ),
    ] {
        assert_eq!(
            form(&plain, query).first().map(String::as_str),
            Some(expected),
            "{query}"
        );
    }
    // `encoding` describes the serialization of a member.
    let joined =
        json!({"schema": schema, "encoding": {"tags": {"style": "form", "explode": false}}});
    assert_eq!(form(&joined, "limit=1&tags=ab,cd"), [""; 0]);
    assert_eq!(form(&joined, "limit=1&tags=ab,c").len(), 1);
    let members = json!({"schema": schema, "encoding": {"at": {"style": "deepObject"}}});
    assert_eq!(form(&members, "limit=1&at[x]=2"), [""; 0]);
    assert_eq!(form(&members, "limit=1&at[x]=z").len(), 1);
    // Another media type: the query is one percent-encoded value.
    let value = |query: &str| findings("application/json", &plain, false, query);
    assert_eq!(value("%7B%22limit%22:9,%22tags%22:[%22a+b%22]%7D"), [""; 0]);
    assert_eq!(value("{\"limit\":9}"), [""; 0]);
    assert_eq!(
        value("%7B%22limit%22:10%7D"),
        ["query q #/limit must be at most 9"]
    );
    assert_eq!(value("limit=9").len(), 1, "not JSON");
    let text = json!({"schema": {"type": "string", "maxLength": 3}});
    assert_eq!(findings("text/plain", &text, false, "a%20b"), [""; 0]);
    assert_eq!(findings("text/plain", &text, false, "abcd").len(), 1);
    // An empty query is an absent one.
    for query in ["", "limit=1"] {
        let expected = query.is_empty().then_some("query q # is required");
        let found = findings("application/x-www-form-urlencoded", &plain, true, query);
        assert_eq!(found.first().map(String::as_str), expected, "{query}");
    }
}

/// The schema of the whole query decides about its names: none is undescribed.
#[test]
fn whole_query_describes_every_name() {
    let content = json!({"application/x-www-form-urlencoded": {"schema": {"type": "object"}}});
    let parameters = json!([{"in": "querystring", "name": "q", "content": content}]);
    let operation = operation(&parameters, &Json::Null, &[]);
    for query in ["a=1", "a=1&b", "x[y]=2&&z"] {
        assert_eq!(
            finding_lines(&operation.undeclared(query, &[])),
            [""; 0],
            "{query}"
        );
        assert_eq!(operation.stripped(query, &[]), None, "{query}");
    }
}
