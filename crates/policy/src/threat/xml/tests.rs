//! Documents that the scanner accepts and refuses.

use super::*;

const NONE: XmlLimits = XmlLimits {
    depth: 64,
    children: None,
    attributes: None,
    name_bytes: None,
    text_bytes: None,
    tokens: None,
};

/// Result of scanning a whole body at once. Panics if scanning it byte by byte gives another
/// result.
fn scan(limits: XmlLimits, body: &[u8]) -> Result<(), String> {
    let run = |size: usize| {
        let mut xml = Xml::new(limits, false, None);
        let mut parts = body.chunks(size);
        parts.try_for_each(|part| xml.read(part))?;
        xml.end()
    };
    let whole = run(body.len().max(1));
    assert_eq!(whole, run(1), "{body:?}");
    whole.map_err(|violation| violation.detail)
}

#[test]
fn well_formed_documents_are_accepted() {
    for body in [
        "<a/>",
        "\u{feff}<?xml version=\"1.0\" encoding='UTF-8' standalone=\"yes\" ?>\n<a></a >\n",
        "<?xml version='1.0' encoding = \"iso-8859-1\"?><a/>",
        "<a b=\"1\" c = '&lt;&#233;>' ><b.c-d/>text &amp; &#x1F600;<!-- - x --><?go on?></a>",
        "<a><![CDATA[ <b> ]] ]]]></a><!-- end --> <?end?>",
        "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body/></soap:Envelope>",
        "<é ü='ö'>ä</é>",
        "<a><?xml-stylesheet href='b'?></a>",
    ] {
        assert_eq!(scan(NONE, body.as_bytes()), Ok(()), "{body}");
    }
}

#[test]
fn declarations_and_entities_are_refused() {
    let type_declaration = "declares a document type (DOCTYPE)";
    let entity = "refers to an entity that XML does not define";
    let encoding = "has an encoding other than UTF-8 or ISO-8859-1";
    let include = "includes other resources (XInclude)";
    for (body, detail) in [
        (
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            type_declaration,
        ),
        ("<!DOCTYPE a SYSTEM \"http://a/\"><a/>", type_declaration),
        ("<a>&b;</a>", entity),
        ("<a b='&c;'/>", entity),
        ("<a>&#0;</a>", entity),
        ("<a>&#xd800;</a>", entity),
        ("<a>&ltgtampquot;</a>", entity),
        ("<?xml version='1.0' encoding='UTF-7'?><a/>", encoding),
        ("<?xml version='1.0' encoding='utf-16'?><a/>", encoding),
        ("<a xmlns:x='http://www.w3.org/2001/XInclude'/>", include),
        (
            "<a x='&#104;ttp://www.w3.org/2001/X&#x49;nclude'/>",
            include,
        ),
    ] {
        assert_eq!(
            scan(NONE, body.as_bytes()),
            Err(detail.to_owned()),
            "{body}"
        );
    }
}

#[test]
fn other_texts_are_not_well_formed() {
    for body in [
        "",
        " ",
        "a",
        "<a>",
        "<a></b>",
        "<a></a",
        "</a>",
        "<a/><b/>",
        "<a/>text",
        "<a b/>",
        "<a b=c/>",
        "<a b='<'/>",
        "<a b='1'c='2'/>",
        "<a b='1",
        "<a><!-- -- --></a>",
        "<a &amp;/>",
        "< a/>",
        "<a/ >",
        "<a><![CDATA[</a>",
        "<![CDATA[]]><a/>",
        "<1/>",
        "<a>\u{1}</a>",
        " <?xml version='1.0'?><a/>",
        "<a><?xml version='1.0'?></a>",
        "<? ?><a/>",
        "<a><b></a></b>",
        "<a></aa>",
        "<aa></a>",
        "&amp;<a/>",
        "<!-x--><a/>",
    ] {
        assert!(scan(NONE, body.as_bytes()).is_err(), "{body}");
    }
    assert!(scan(NONE, b"<a>\xff</a>").is_err());
    assert!(scan(NONE, b"\xff\xfe<\0a\0").is_err());
    let mut latin = Xml::new(NONE, true, None);
    assert_eq!(latin.read(b"<a>\xff</a>"), Ok(()));
}

#[test]
fn each_limit_refuses_what_is_beyond_it() {
    let rows: &[(XmlLimits, &str, &str, &str)] = &[
        (
            XmlLimits { depth: 2, ..NONE },
            "<a><b/><b/></a>",
            "<a><b><c/></b></a>",
            "has more than 2 levels",
        ),
        (
            XmlLimits {
                children: Some(2),
                ..NONE
            },
            "<a><b><c/><c/></b><b>text</b>text</a>",
            "<a><b><c/></b><b/><b/></a>",
            "has more than 2 children of an element",
        ),
        (
            XmlLimits {
                attributes: Some(2),
                ..NONE
            },
            "<a b='1' c='2'><d e='3' f='4'/></a>",
            "<a b='1'><d e='3' f='4' g='5'/></a>",
            "has more than 2 attributes of an element",
        ),
        (
            XmlLimits {
                name_bytes: Some(4),
                ..NONE
            },
            "<abcd efgh='long value'>long text<é/></abcd>",
            "<abcd efghi=''/>",
            "has a name of more than 4 bytes",
        ),
        (
            XmlLimits {
                text_bytes: Some(4),
                ..NONE
            },
            "<long b='abcd'>a&amp;bc<c/>abcd<![CDATA[ab]]>abcd</long>",
            "<long><![CDATA[abcde]]></long>",
            "has a text or value of more than 4 bytes",
        ),
        (
            XmlLimits {
                text_bytes: Some(4),
                ..NONE
            },
            "<a><!--ab--></a>",
            "<a>abc&#233;</a>",
            "has a text or value of more than 4 bytes",
        ),
        (
            XmlLimits {
                tokens: Some(4),
                ..NONE
            },
            "<a b='1'>text<c/></a>",
            "<a b='1'>text<c/>text</a>",
            "has more than 4 elements, attributes and texts",
        ),
    ];
    for (limits, fine, refused, detail) in rows {
        assert_eq!(scan(*limits, fine.as_bytes()), Ok(()), "{fine}");
        let found = scan(*limits, refused.as_bytes());
        assert_eq!(found, Err((*detail).to_owned()), "{refused}");
    }
    let long = "a".repeat(OPEN_NAMES_MAX + 1);
    let found = scan(NONE, format!("<{long}/>").as_bytes());
    assert_eq!(
        found,
        Err("has names of open elements of more than 16384 bytes".to_owned())
    );
}
