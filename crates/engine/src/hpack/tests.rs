use http::{HeaderName, HeaderValue, Method};

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// Header block in hexadecimal digits, and the sizes of the table's entries after it.
type Block = (&'static str, &'static [usize]);

/// Sequences of RFC 7541 appendix C: header blocks, and the sizes of the table's entries after
/// each, newest first.
const APPENDIX_C: [(&str, &[Block]); 8] = [
    (
        "C.2.1 literal with indexing",
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            &[55],
        )],
    ),
    (
        "C.2.2 to C.2.4 without a change of the table",
        &[
            ("040c 2f73 616d 706c 652f 7061 7468", &[]),
            ("1008 7061 7373 776f 7264 0673 6563 7265 74", &[]),
            ("82", &[]),
        ],
    ),
    (
        "C.3 requests",
        &[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", &[57]),
            ("8286 84be 5808 6e6f 2d63 6163 6865", &[53, 57]),
            (
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
                &[54, 53, 57],
            ),
        ],
    ),
    (
        "C.4 requests with Huffman coding",
        &[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", &[57]),
            ("8286 84be 5886 a8eb 1064 9cbf", &[53, 57]),
            (
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
                &[54, 53, 57],
            ),
        ],
    ),
    (
        "C.5 responses, with a table of 256 bytes",
        &[
            ("3fe1 01", &[]),
            (
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
                 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 \
                 6c65 2e63 6f6d",
                &[63, 65, 52, 42],
            ),
            ("4803 3330 37c1 c0bf", &[42, 63, 65, 52]),
            (
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d \
                 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 \
                 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e \
                 3d31",
                &[98, 52, 65],
            ),
        ],
    ),
    (
        "C.6 responses with Huffman coding, with a table of 256 bytes",
        &[
            ("3fe1 01", &[]),
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
                 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                &[63, 65, 52, 42],
            ),
            ("4883 640e ffc1 c0bf", &[42, 63, 65, 52]),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab \
                 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f \
                 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                &[98, 52, 65],
            ),
        ],
    ),
    (
        "4.3 a smaller table keeps the newest entries",
        &[
            ("4001 6101 62 4001 6302 6464", &[35, 34]),
            ("3f04 82", &[35]),
            ("20 3fe1 1f", &[]),
        ],
    ),
    (
        "4.4 an entry larger than the table empties it",
        &[("4001 6101 62", &[34]), ("3f03 4001 6302 6464", &[])],
    ),
];

#[test]
fn table_follows_appendix_c() {
    for (name, blocks) in APPENDIX_C {
        let mut inspector = Inspector::new();
        let is_response = name.contains("responses");
        for (block, sizes) in blocks {
            let inspected = inspector.inspect(&bytes(block), Part::Head).unwrap();
            assert_eq!(inspector.sizes().collect::<Vec<_>>(), *sizes, "{name}");
            // `:status` is only valid in responses, so requests with it are malformed.
            let is_malformed = is_response && *block != "3fe1 01";
            assert_eq!(inspected != Inspected::WellFormed, is_malformed, "{name}");
        }
    }
}

#[test]
fn blocks_that_cannot_be_decoded_are_errors() {
    let cases = [
        ("2.3.3 index 0", "80"),
        ("2.3.3 an index beyond the tables", "be"),
        ("2.3.3 a name beyond the tables", "7f00 0162"),
        ("4.2 a size update after a field", "82 20"),
        ("4.2 a table larger than the setting", "3fe2 1f"),
        ("5.1 an integer that does not end", "ff80 80"),
        (
            "5.1 an integer of more than five bytes",
            "ff80 8080 8080 00",
        ),
        ("5.2 a string longer than the block", "0003 6162"),
        ("5.2 a name without a value", "0001 61"),
        ("5.2 padding of more than 7 bits", "0001 6182 1fff"),
        ("5.2 padding of zeros", "0001 6181 18"),
        ("5.2 EOS in a string", "0001 6184 ffff ffff"),
        ("6.2 a literal that breaks off", "40"),
    ];
    for (name, block) in cases {
        let inspected = Inspector::new().inspect(&bytes(block), Part::Head);
        assert_eq!(inspected, Err(Invalid::Compression), "{name}");
    }
    // The first blocks are valid: the largest size update, and an index at the end of the table.
    // The last ones are invalid: an index without an entry, encoded in four bytes.
    for block in ["3fe1 1f", "4001 6101 62 be", "7f80 8000 0162"] {
        let mut inspector = Inspector::new();
        let inspected = inspector.inspect(&bytes(block), Part::Head);
        let is_index = block.starts_with("7f");
        assert_eq!(inspected.is_err(), is_index, "{block}");
    }
}

/// Encodes a string without Huffman coding.
fn text(text: &[u8]) -> Vec<u8> {
    let length = match text.len() {
        short @ 0..0x7F => vec![short as u8],
        long => {
            let rest = long - 0x7F;
            assert!(rest < 1 << 14);
            vec![0x7F, (rest & 0x7F) as u8 | 0x80, (rest >> 7) as u8]
        }
    };
    [&length, text].concat()
}

/// Encodes a literal field with a new name. `first` is the first byte of the encoding.
fn literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![first], text(name), text(value)].concat()
}

#[test]
fn names_and_values_are_checked_byte_by_byte() {
    for byte in 0..=u8::MAX {
        let text = [byte];
        let is_malformed = |block: &[u8]| {
            let inspected = Inspector::new().inspect(block, Part::Head).unwrap();
            inspected != Inspected::WellFormed
        };
        // The library accepts a quotation mark, although it is not a token character.
        let name = HeaderName::from_lowercase(&text).is_err() || byte == b'"';
        assert_eq!(is_malformed(&literal(0, &text, b"")), name, "name {byte}");
        let value = HeaderValue::from_bytes(&text).is_err();
        assert_eq!(
            is_malformed(&literal(0, b"a", &text)),
            value,
            "value {byte}"
        );
        let method = Method::from_bytes(&text).is_err();
        assert_eq!(
            is_malformed(&literal(0, b":method", &text)),
            method,
            "method {byte}"
        );
        let no_text = std::str::from_utf8(&text).is_err();
        let authority = literal(0, b":authority", &text);
        assert_eq!(is_malformed(&authority), no_text, "authority {byte}");
        // The library accepts a fragment and ignores it.
        let path = no_text || byte <= b' ' || byte == 0x7F || byte == b'#';
        let long = [b"/a", &text[..]].concat();
        let name_of = |index: u8| [vec![index], self::text(&long)].concat();
        for block in [literal(0, b":path", &long), name_of(4), name_of(5)] {
            assert_eq!(is_malformed(&block), path, "path /a {byte}");
        }
        // If a malformed path is inserted into the table, its replacement is well-formed.
        let inserted = [vec![0x44], self::text(&[b'x', byte])].concat();
        let inspected = Inspector::new().inspect(&inserted, Part::Head).unwrap();
        let Inspected::Malformed(replaced) = inspected else {
            panic!("path x {byte}");
        };
        let kept = &replaced[..replaced.len() - MALFORMED.len()];
        assert!(!is_malformed(kept), "path x {byte}");
        let path = !matches!(byte, b'/' | b'*');
        let block = literal(0, b":path", &text);
        assert_eq!(is_malformed(&block), path, "path {byte}");
    }
}

#[test]
fn malformed_fields_are_replaced_by_equal_sizes() {
    type Bytes = &'static [u8];
    let cases: [(Bytes, Bytes, Option<Bytes>); 8] = [
        (b"Shop", b"abc", Some(b"\x40\x01x\x06xxxxxx")),
        (b"a b", b"", Some(b"\x40\x01x\x02xx")),
        (b":other", b"1", Some(b"\x40\x01x\x06xxxxxx")),
        (b":status", b"200", Some(b"\x40\x01x\x09xxxxxxxxx")),
        (b":method", b"", Some(b"\x40\x01x\x06xxxxxx")),
        (b"shop", b"a\0b", Some(b"\x40\x04shop\x03xxx")),
        (b"", b"a", Some(b"\x40\x01x\x00")),
        (b"", b"", None),
    ];
    for (name, value, expected) in cases {
        let before = b"\x82\x40\x01a\x01b";
        let block = [&before[..], &literal(INDEXING, name, value), b"\xBF"].concat();
        let mut inspector = Inspector::new();
        let inspected = inspector.inspect(&block, Part::Head);
        let expected = expected.ok_or(Invalid::Unreplaceable).map(|field| {
            let block = [&before[..], field, b"\xBF"].concat();
            Inspected::Malformed(malformed(&block))
        });
        assert_eq!(inspected, expected, "{name:?}: {value:?}");
        // A reference to the malformed entry is malformed as well; a reference to another entry is
        // not.
        if inspected.is_ok() {
            let other = inspector.inspect(b"\xBF", Part::Head);
            assert_eq!(other, Ok(Inspected::WellFormed));
            let again = inspector.inspect(b"\xBE", Part::Head);
            assert_eq!(again, Ok(Inspected::Malformed(malformed(b""))));
        }
    }
}

#[test]
fn fields_outside_the_table_are_left_out() {
    let fields = [
        literal(0, b"a", b"1"),
        literal(0, b"B", b"2"),
        literal(0x10, b"c", b"\n"),
        literal(0x10, b"d", b"4"),
    ];
    let inspected = Inspector::new().inspect(&fields.concat(), Part::Head);
    let expected = [&fields[0][..], &fields[3]].concat();
    assert_eq!(inspected, Ok(Inspected::Malformed(malformed(&expected))));
}

#[test]
fn name_of_a_malformed_value_stays_usable() {
    let mut inspector = Inspector::new();
    let first = literal(INDEXING, b"a", b"\0");
    assert_ne!(
        inspector.inspect(&first, Part::Head),
        Ok(Inspected::WellFormed)
    );
    let second = [0x7E, 1, b'b'];
    assert_eq!(
        inspector.inspect(&second, Part::Head),
        Ok(Inspected::WellFormed)
    );
    assert_eq!(inspector.sizes().collect::<Vec<_>>(), [34, 34]);
}

#[test]
fn pseudo_fields_in_trailers_are_malformed() {
    let fields = [
        b"\x84".to_vec(),
        b"\x44\x01/".to_vec(),
        literal(0, b":authority", b"a"),
        literal(0, b":method", b"GET"),
    ];
    for field in fields {
        let mut inspector = Inspector::new();
        assert_eq!(
            inspector.inspect(&field, Part::Head),
            Ok(Inspected::WellFormed)
        );
        let trailers = inspector.inspect(&field, Part::Trailers);
        assert_eq!(trailers, Ok(Inspected::Malformed(malformed(&field))));
        let other = inspector.inspect(&literal(0, b"a", b"b"), Part::Trailers);
        assert_eq!(other, Ok(Inspected::WellFormed));
    }
}

#[test]
fn connect_with_content_is_malformed() {
    let method = literal(INDEXING, b":method", b"CONNECT");
    let length = |value: &[u8]| literal(INDEXING, b"content-length", value);
    let huffman = [&[0x0F, 0x0D, 0x82][..], b"\x6D\xCF"].concat(); // content-length: 56
    let cases = [
        ([&method[..], &length(b"5")].concat(), true),
        ([&length(b"5")[..], &method].concat(), true),
        ([&method[..], b"\x5C\x0210"].concat(), true),
        ([&method[..], &huffman].concat(), true),
        ([&method[..], &length(b"0"), &length(b"7")].concat(), true),
        ([&method[..], &length(b"0")].concat(), false),
        ([&method[..], &length(b"")].concat(), false),
        ([&method[..], b"\x9C"].concat(), false),
        (method.clone(), false),
        ([b"\x83".to_vec(), length(b"5")].concat(), false),
        (
            [literal(0, b":method", b"CONNECTS"), length(b"5")].concat(),
            false,
        ),
        (
            [&method[..], &literal(0, b"content-lengths", b"5")].concat(),
            false,
        ),
    ];
    for (block, is_malformed) in cases {
        let mut inspector = Inspector::new();
        let inspected = inspector.inspect(&block, Part::Head);
        let expected = match is_malformed {
            true => Inspected::Malformed(malformed(&block)),
            false => Inspected::WellFormed,
        };
        assert_eq!(inspected, Ok(expected), "{block:x?}");
    }
    // The method and the length come from the dynamic table. In trailers, a length is well-formed.
    let mut inspector = Inspector::new();
    for block in [&method, &length(b"5")] {
        let alone = inspector.inspect(block, Part::Head);
        assert_eq!(alone, Ok(Inspected::WellFormed));
    }
    let both = inspector.inspect(b"\xBF\xBE", Part::Head);
    assert_eq!(both, Ok(Inspected::Malformed(malformed(b"\xBF\xBE"))));
    // `content-length` has its name from the table and a new value. The method is in the table.
    let zero = inspector.inspect(b"\xBF\x0F\x2F\x010", Part::Head);
    assert_eq!(zero, Ok(Inspected::WellFormed));
    let trailers = inspector.inspect(b"\xBE", Part::Trailers);
    assert_eq!(trailers, Ok(Inspected::WellFormed));
}

#[test]
fn short_references_to_long_names_are_bounded() {
    let mut inspector = Inspector::new();
    let long = literal(INDEXING, &[b'A'; 4_000], b"");
    let (short, many) = ([0x7E, 0], 1_000);
    let one = [&long[..], &short].concat();
    assert!(matches!(
        inspector.inspect(&one, Part::Head),
        Ok(Inspected::Malformed(_))
    ));
    let many = inspector.inspect(&short.repeat(many), Part::Head);
    assert_eq!(many, Err(Invalid::Unreplaceable));
}

#[test]
fn long_values_keep_the_table_empty() {
    let mut inspector = Inspector::new();
    let block = [
        literal(INDEXING, b"a", b"b"),
        literal(INDEXING, b"B", &[b'c'; 9_000]),
    ]
    .concat();
    let Ok(Inspected::Malformed(replaced)) = inspector.inspect(&block, Part::Head) else {
        panic!("the block is malformed");
    };
    assert_eq!(inspector.sizes().count(), 0);
    assert!(replaced.len() < 4_200);
    let mut library = Inspector::new();
    assert_eq!(
        library.inspect(&replaced, Part::Head),
        Ok(Inspected::WellFormed)
    );
    assert_eq!(library.sizes().count(), 0);
}
