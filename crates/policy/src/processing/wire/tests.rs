//! Tests of the messages of external processing. The bytes are written by hand from Envoy's
//! `.proto` files, so that a wrong field number is found.

use super::*;

/// Field with a length: tag, length and content.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short");
    assert!(tag < 16 && length < 128);
    [&[tag << 3 | 2, length], content].concat()
}

fn number(tag: u8, value: u8) -> Vec<u8> {
    vec![tag << 3, value]
}

/// `HeaderValueOption` with a raw value.
fn option(name: &str, value: &str, rest: &[u8]) -> Vec<u8> {
    let header = [field(1, name.as_bytes()), field(3, value.as_bytes())].concat();
    [field(1, &header), rest.to_vec()].concat()
}

fn read(message: Vec<u8>) -> Result<Answer, Malformed> {
    answer(message.into())
}

fn set(name: &'static str, value: &'static str, how: How) -> Change {
    let value = HeaderValue::from_static(value);
    Change::Set(HeaderName::from_static(name), value, how)
}

#[test]
fn head_and_body_have_envoys_field_numbers() {
    let mut headers = HeaderMap::new();
    headers.insert("x-a", HeaderValue::from_static("1"));
    let buffered = BufferedBodies {
        request: true,
        response: true,
    };
    let sent = request_headers(&[(":method", b"GET")], &headers, (true, buffered));
    let pseudo = [field(1, b":method"), field(3, b"GET")].concat();
    let plain = [field(1, b"x-a"), field(3, b"1")].concat();
    let list = [field(1, &pseudo), field(1, &plain)].concat();
    let heads = field(2, &[field(1, &list), number(3, 1)].concat());
    let modes = [number(1, 2), number(2, 2)].concat();
    let message = [heads, field(11, &modes)].concat();
    assert_eq!(
        sent[..5],
        [0, 0, 0, 0, u8::try_from(message.len()).unwrap()]
    );
    assert_eq!(sent[5..], message);

    let body = request_body(Bytes::from_static(b"abc"));
    assert_eq!(
        body[5..],
        field(4, &[field(1, b"abc"), number(2, 1)].concat())
    );

    let body = response_body(Bytes::from_static(b"abc"));
    assert_eq!(
        body[5..],
        field(5, &[field(1, b"abc"), number(2, 1)].concat())
    );

    let response = response_headers(StatusCode::OK, &HeaderMap::new(), false);
    let status = [field(1, b":status"), field(3, b"200")].concat();
    assert_eq!(response[5..], field(3, &field(1, &field(1, &status))));
}

#[test]
fn mutations_are_read_in_order() {
    let mutation = [
        field(1, &option("x-a", "1", &number(3, 1))),
        field(1, &option("x-b", "2", &field(2, &number(1, 1)))),
        field(1, &option("x-c", "3", &[])),
        field(1, &option(":path", "/b", &[])),
        field(1, &option("x-d", "4", &number(3, 2))),
        field(1, &option("x-e", "5", &number(3, 3))),
        field(2, b"x-f"),
    ];
    let common = [
        number(1, 1),
        field(2, &mutation.concat()),
        field(3, &field(1, b"new")),
    ];
    for (tag, part) in [
        (1, Part::RequestHeaders),
        (2, Part::ResponseHeaders),
        (3, Part::RequestBody),
        (4, Part::ResponseBody),
    ] {
        let message = field(tag, &field(1, &common.concat()));
        let expected = Edit {
            changes: vec![
                Change::Remove(HeaderName::from_static("x-f")),
                set("x-a", "1", How::AddIfAbsent),
                set("x-b", "2", How::Append),
                set("x-c", "3", How::Replace),
                set("x-d", "4", How::Replace),
                set("x-e", "5", How::ReplaceIfPresent),
            ],
            ignored: 1,
            body: Some(Bytes::from_static(b"new")),
            replaces: true,
        };
        assert_eq!(read(message), Ok(Answer::Continue(part, expected)));
    }
}

#[test]
fn immediate_response_has_status_fields_and_body() {
    let status = [1 << 3, 0x93, 0x03].to_vec();
    let fields = field(1, &option("x-why", "sqli", &[]));
    let immediate = [field(1, &status), field(2, &fields), field(3, b"no")].concat();
    let edit = Edit {
        changes: vec![set("x-why", "sqli", How::Replace)],
        body: Some(Bytes::from_static(b"no")),
        ..Edit::default()
    };
    let status = StatusCode::FORBIDDEN;
    assert_eq!(
        read(field(7, &immediate)),
        Ok(Answer::Immediate { status, edit })
    );
    for status in [
        vec![],
        number(1, 0),
        number(1, 101),
        vec![1 << 3, 0xD8, 0x04],
    ] {
        assert_eq!(
            read(field(7, &field(1, &status))),
            Err(Malformed),
            "{status:?}"
        );
    }
}

#[test]
fn messages_without_decision_are_nothing() {
    // An empty message, and one with another time limit (field 10).
    for message in [vec![], field(10, &number(1, 2))] {
        assert_eq!(read(message), Ok(Answer::Nothing));
    }
    let empty = Answer::Continue(Part::RequestHeaders, Edit::default());
    for message in [field(1, b""), field(1, &field(1, b""))] {
        assert_eq!(read(message), Ok(empty.clone()));
    }
}

#[test]
fn invalid_fields_make_the_message_malformed() {
    let common = |mutation: &[u8]| field(1, &field(1, &field(2, mutation)));
    let both = [field(1, b"x"), field(2, b"1"), field(3, b"1")].concat();
    for mutation in [
        field(1, &option("x a", "1", &[])),
        field(1, &option("", "1", &[])),
        field(1, &option("x-a", "1\n2", &[])),
        field(1, &option("x-a", "1", &number(3, 4))),
        field(1, &field(1, &both)),
        field(2, b"x\r"),
    ] {
        assert_eq!(read(common(&mutation)), Err(Malformed), "{mutation:?}");
    }
    assert_eq!(read(vec![0xFF; 4]), Err(Malformed));
    let many: Vec<u8> = (0..=CHANGES_MAX).flat_map(|_| field(2, b"a")).collect();
    let length = |bytes: &[u8]| {
        let length = bytes.len();
        [0x80 | (length & 0x7F), length >> 7].map(|byte| u8::try_from(byte).unwrap())
    };
    let wrap =
        |tag: u8, content: Vec<u8>| [&[tag << 3 | 2], &length(&content)[..], &content].concat();
    assert_eq!(read(wrap(1, wrap(1, wrap(2, many)))), Err(Malformed));
}

#[test]
fn frames_wait_for_their_end_and_have_a_limit() {
    let take = |bytes: &[u8]| {
        let mut received = BytesMut::from(bytes);
        take_message(&mut received, 4).map(|message| (message, received.len()))
    };
    assert_eq!(take(&[0, 0, 0, 0]), Ok((None, 4)));
    assert_eq!(take(&[0, 0, 0, 0, 2, 7]), Ok((None, 6)));
    let whole = Bytes::from_static(&[7, 8]);
    assert_eq!(take(&[0, 0, 0, 0, 2, 7, 8, 9]), Ok((Some(whole), 1)));
    assert_eq!(take(&[0, 0, 0, 0, 0]), Ok((Some(Bytes::new()), 0)));
    assert_eq!(take(&[0, 0, 0, 0, 5]), Err(Malformed));
    assert_eq!(take(&[1, 0, 0, 0, 2, 7, 8]), Err(Malformed));
}
