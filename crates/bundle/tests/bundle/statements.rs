//! Tests of envelopes and payloads: canonical encoding, separation of roles, and several signers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::digest::Digest;
use bundle::keys::KeyId;
use bundle::moment::Moment;
use bundle::oci::Descriptor;
use bundle::publish;
use bundle::statement::Statement;
use bundle::statement::envelope::Envelope;
use bundle::statement::predicate::{
    Approve, Base, Build, Predicate, Record, RecordKind, Revoke, Role, Streams,
};
use bundle::statement::stored::{self, Stored};
use bundle::store::Store;
use bundle::store::memory::Memory;
use bundle::trust::When;

use crate::fixture::*;

fn subject() -> Digest {
    Digest::of(b"subject")
}

fn build_statement() -> Statement<Build> {
    Statement {
        subject: vec![subject()],
        predicate: build(None),
    }
}

fn record() -> Record {
    Record {
        project: project(),
        channel: prod(),
        serial: 7,
        previous: Some(Digest::of(b"6")),
        merges: [Digest::of(b"fork")].into(),
        kind: RecordKind::Pin,
        actor: "rita \"the\" releaser".to_owned(),
        reason: "ünïcode\n\u{1}".to_owned(),
        created: NOON,
        expires: Some(NOON.plus_s(1)),
        plan: None,
        source: Some(Digest::of(b"source")),
        evidence: [Digest::of(b"build")].into(),
        revocations: None,
        rollout: None,
        override_freeze: None,
        withdraw: [].into(),
        streams: Some(Streams::Close),
    }
}

#[test]
fn a_payload_has_exactly_these_bytes() {
    let bytes = build_statement().encode().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let hex = subject().hex();
    assert_eq!(
        text,
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","predicate":{{"builder":{{"commit":null,"gwc":"0.1.0"}},"environment":null,"format":1,"git":{{"commit":"{}","dirty":false,"tree":"{}"}},"project":"shop","source":null}},"predicateType":"urn:gwc:build:v1","subject":[{{"digest":{{"sha256":"{hex}"}}}}]}}"#,
            "c".repeat(40),
            "7".repeat(40)
        )
    );
}

fn round_trip<P: Predicate + PartialEq + std::fmt::Debug>(predicate: P) {
    let statement = Statement {
        subject: vec![subject()],
        predicate,
    };
    let bytes = statement.encode().unwrap();
    assert_eq!(Statement::decode(&bytes).as_ref(), Ok(&statement));
    assert_eq!(bundle::statement::claimed_role(&bytes), Ok(Some(P::ROLE)));
    assert!(
        !String::from_utf8(bytes)
            .unwrap()
            .contains("\":null,\"expires")
    );
}

#[test]
fn every_predicate_is_read_back() {
    round_trip(build(Some(subject())));
    round_trip(record());
    round_trip(Record {
        expires: None,
        streams: None,
        previous: None,
        ..record()
    });
    round_trip(Revoke {
        project: project(),
        serial: 1,
        previous: None,
        created: NOON,
        bundles: [].into(),
        credentials: [subject()].into(),
        keys: [key("ci").public().id()].into(),
    });
    round_trip(Approve {
        project: project(),
        channel: prod(),
        base: Some(Base {
            record: subject(),
            serial: 3,
        }),
        plan: subject(),
        acked: ["0123456789ab".to_owned()].into(),
        expires: NOON,
    });
}

#[test]
fn a_payload_in_any_other_spelling_is_refused() {
    let bytes = Statement {
        subject: vec![subject()],
        predicate: record(),
    }
    .encode()
    .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let changes = [
        ("\"serial\":7", "\"serial\":7,\"serial\":7"),
        ("\"serial\":7", "\"serial\":8,\"serial\":7"),
        ("\"serial\":7", "\"serial\": 7"),
        ("\"serial\":7", "\"serial\":7.0"),
        ("\"serial\":7", "\"serial\":07"),
        ("\"serial\":7", "\"serial\":\"7\""),
        ("\"serial\":7", "\"serial\":9007199254740992"),
        ("\"serial\":7", "\"serial\":18446744073709551616"),
        ("\"serial\":7", "\"serial\":-7"),
        ("\"plan\":null,", ""),
        ("\"plan\":null", "\"plan\":null,\"planned\":null"),
        ("\"streams\":\"close\"", "\"streams\":null"),
        ("\"streams\":\"close\"", "\"streams\":\"Close\""),
        ("\"kind\":\"pin\"", "\"kind\":\"other\""),
        ("\\u0001", "\\u0001\\u0041"),
        ("ü", "\\u00fc"),
        ("shop", "Shop"),
        ("prod", "../prod"),
        ("sha256:", "SHA256:"),
        ("\"_type\":\"https", "\"_type\":\"http"),
        ("Statement/v1", "Statement/v0.1"),
        ("}]}", "}],\"x\":1}"),
        ("}]}", "}]}\n"),
        ("}]}", ",\"name\":\"x\"}]}"),
    ];
    for (from, to) in changes {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} is not there");
        let refused = Statement::<Record>::decode(changed.as_bytes()).unwrap_err();
        assert!(
            ["malformed", "not-canonical"].contains(&refused.kind()),
            "{from} to {to}: {refused:?}"
        );
    }
    let mut unsorted = text.clone();
    let swap = ("\"actor\":", "\"zactor\":");
    unsorted = unsorted.replacen(swap.0, swap.1, 1);
    assert!(Statement::<Record>::decode(unsorted.as_bytes()).is_err());
    let without_signer = text.replacen(
        &format!("[{{\"digest\":{{\"sha256\":\"{}\"}}}}]", subject().hex()),
        "[]",
        1,
    );
    assert_ne!(without_signer, text);
    assert!(Statement::<Record>::decode(without_signer.as_bytes()).is_err());
}

#[test]
fn an_integer_that_json_readers_lose_is_not_written() {
    let statement = Statement {
        subject: vec![subject()],
        predicate: Record {
            serial: 1 << 53,
            ..record()
        },
    };
    assert_eq!(statement.encode().unwrap_err().kind(), "malformed");
}

#[test]
fn the_signed_bytes_are_those_of_dsse() {
    let envelope = Envelope::new(&build_statement()).unwrap();
    let payload = envelope.payload();
    let mut expected =
        format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).into_bytes();
    expected.extend_from_slice(payload);
    assert_eq!(envelope.signed_bytes(), expected);
}

#[test]
fn signing_is_repeatable_in_any_order_of_signers() {
    let sign = |owners: [&str; 3]| {
        let mut envelope = Envelope::new(&build_statement()).unwrap();
        for owner in owners {
            envelope.sign(&key(owner));
        }
        envelope.encode().unwrap()
    };
    let bytes = sign(["a", "b", "b"]);
    assert_eq!(bytes, sign(["b", "a", "a"]));
    let envelope = Envelope::decode(&bytes).unwrap();
    assert_eq!(envelope.signatures().len(), 2);
    assert_eq!(envelope.encode().unwrap(), bytes);
}

#[test]
fn the_stored_form_is_a_sigstore_bundle() {
    let envelope = Envelope::new(&build_statement())
        .unwrap()
        .signed_by(&key("ci"));
    let text = String::from_utf8(envelope.encode().unwrap()).unwrap();
    let id = key("ci").public().id();
    let sig = STANDARD.encode(&envelope.signatures()[0].der);
    let payload = STANDARD.encode(envelope.payload());
    assert_eq!(
        text,
        format!(
            r#"{{"dsseEnvelope":{{"payload":"{payload}","payloadType":"application/vnd.in-toto+json","signatures":[{{"keyid":"{id}","sig":"{sig}"}}]}},"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":"{id}"}}}}}}"#
        )
    );
    let about = Descriptor::of(bundle::oci::MANIFEST, b"bundle");
    let stored = Stored::new(&envelope, Some(about.clone())).unwrap();
    let manifest = String::from_utf8(stored.manifest.clone()).unwrap();
    let layer = Descriptor::of("", &stored.envelope);
    assert_eq!(
        manifest,
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}},"layers":[{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","digest":"{}","size":{}}}],"subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":6}},"annotations":{{"dev.sigstore.bundle.content":"dsse-envelope","dev.sigstore.bundle.predicateType":"urn:gwc:build:v1"}}}}"#,
            layer.digest, layer.size, about.digest
        )
    );
}

#[test]
fn an_envelope_in_any_other_spelling_is_refused() {
    let mut envelope = Envelope::new(&build_statement())
        .unwrap()
        .signed_by(&key("ci"));
    envelope.sign(&key("other"));
    let text = String::from_utf8(envelope.encode().unwrap()).unwrap();
    let [one, two] = envelope.signatures() else {
        panic!("two signatures")
    };
    let entry = |s: &bundle::statement::envelope::Signature| {
        format!(
            r#"{{"keyid":"{}","sig":"{}"}}"#,
            s.keyid,
            STANDARD.encode(&s.der)
        )
    };
    let both = format!("{},{}", entry(one), entry(two));
    let swapped = format!("{},{}", entry(two), entry(one));
    let twice = format!("{},{},{}", entry(one), entry(one), entry(two));
    let changes = [
        (both.as_str(), swapped.as_str()),
        (&both, &twice),
        ("\"hint\":\"", "\"hint\":\"x"),
        ("vnd.in-toto+json", "vnd.in-toto"),
        ("bundle.v0.3", "bundle.v0.2"),
        ("\"payload\":\"", "\"payload\":\" "),
        ("==\"", "\""),
        ("{\"dsse", "{ \"dsse"),
        ("}}}", "}},\"x\":{}}"),
    ];
    for (from, to) in changes {
        let changed = text.replacen(from, to, 1);
        if changed == text {
            assert_eq!(from, "==\"", "{from} is not there");
            continue;
        }
        let refused = Envelope::decode(changed.as_bytes()).unwrap_err();
        assert!(
            ["malformed", "not-canonical"].contains(&refused.kind()),
            "{from}"
        );
    }
    assert!(Envelope::decode(text.as_bytes()).is_ok());
}

#[test]
fn a_second_signature_can_be_added_later() {
    let store = Memory::default();
    let bundle = bundle("one");
    let first = put(&store, &bundle);
    let second = publish::add_signature(&store, &first, &key("other")).unwrap();
    assert_ne!(first, second);
    let one = stored::open(&store, &first).unwrap();
    let two = stored::open(&store, &second).unwrap();
    assert_eq!(one.payload(), two.payload());
    assert_eq!((one.signatures().len(), two.signatures().len()), (1, 2));
    let mut found = publish::build_statements(&store, &bundle.id()).unwrap();
    found.sort();
    let mut expected = vec![first, second];
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_relabelled_role_is_refused() {
    // A build key signs a payload that looks like a record.
    let statement = Statement {
        subject: vec![subject()],
        predicate: record(),
    };
    let forged = publish::sign(&statement, &[&key("ci")]).unwrap();
    let signers = |envelope: &Envelope, role| {
        trust().authorized_signers(envelope, role, None, When::First(NOON))
    };
    assert_eq!(
        signers(&forged, Role::Release).unwrap_err().reason(),
        "wrong-role"
    );
    // The signature is valid for the key's role, but the payload is not a build statement.
    assert!(signers(&forged, Role::Build).is_ok());
    let refused = Statement::<Build>::decode(forged.payload()).unwrap_err();
    assert_eq!(refused.reason(), "wrong-role");
}

#[test]
fn one_key_for_two_roles_signs_two_different_things() {
    let both = trusted("ci", &[Role::Build, Role::Release]);
    let trust = trust_of(vec![both]);
    let built = publish::sign(&build_statement(), &[&key("ci")]).unwrap();
    // The key has the role, but the payload is a build statement.
    assert!(
        trust
            .authorized_signers(&built, Role::Release, None, When::First(NOON))
            .is_ok()
    );
    let refused = Statement::<Record>::decode(built.payload()).unwrap_err();
    assert_eq!(refused.reason(), "wrong-role");

    // Publish a link to a build statement, which is not a record.
    let store = Memory::default();
    let statement = publish::put_statement(&store, &built, None).unwrap();
    let chain = bundle::store::Chain::Channel(prod());
    store.create_link(&chain, 1, &statement).unwrap();
    let prod = prod();
    let context = context(&trust, &prod);
    let refused = bundle::follow::head(&store, &context, &nothing()).unwrap_err();
    assert_eq!(refused.reason(), "wrong-role");
}

#[test]
fn a_statement_about_another_bundle_is_refused() {
    let store = Memory::default();
    let one = put(&store, &bundle("one"));
    let two = bundle("two");
    publish::put_bundle(&store, &two).unwrap();
    release(&store, draft(two.id(), &[one])).unwrap();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let head = bundle::follow::head(&store, &context, &nothing())
        .unwrap()
        .unwrap();
    let refused = bundle::follow::bundle(&store, &context, &head.accepted, &[]).unwrap_err();
    assert_eq!(refused.reason(), "wrong-subject");
}

#[test]
fn a_bundle_without_a_build_statement_is_refused() {
    let store = Memory::default();
    let one = bundle("one");
    publish::put_bundle(&store, &one).unwrap();
    release(&store, draft(one.id(), &[])).unwrap();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let head = bundle::follow::head(&store, &context, &nothing())
        .unwrap()
        .unwrap();
    let refused = bundle::follow::bundle(&store, &context, &head.accepted, &[]).unwrap_err();
    assert_eq!(refused.reason(), "unsigned");
}

#[test]
fn another_projects_bundle_and_statement_are_refused() {
    let store = Memory::default();
    let foreign = bundle_of("bank", "one");
    let descriptor = publish::put_bundle(&store, &foreign).unwrap();
    let mut statement = build(None);
    statement.project = "bank".parse().unwrap();
    let evidence = publish::put_build(&store, descriptor, statement, &[&key("ci")]).unwrap();
    release(&store, draft(foreign.id(), &[evidence])).unwrap();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let head = bundle::follow::head(&store, &context, &nothing())
        .unwrap()
        .unwrap();
    let refused = bundle::follow::bundle(&store, &context, &head.accepted, &[]).unwrap_err();
    assert_eq!(refused.reason(), "wrong-project");

    // A build statement of another project for the test's bundle.
    let store = Memory::default();
    let ours = bundle("one");
    let descriptor = publish::put_bundle(&store, &ours).unwrap();
    let mut statement = build(None);
    statement.project = "bank".parse().unwrap();
    let evidence = publish::put_build(&store, descriptor, statement, &[&key("ci")]).unwrap();
    release(&store, draft(ours.id(), &[evidence])).unwrap();
    let head = bundle::follow::head(&store, &context, &nothing())
        .unwrap()
        .unwrap();
    let refused = bundle::follow::bundle(&store, &context, &head.accepted, &[]).unwrap_err();
    assert_eq!(refused.reason(), "wrong-project");
}

#[test]
fn key_ids_and_moments_in_other_spellings_are_refused() {
    assert!("AB".repeat(32).parse::<KeyId>().is_err());
    assert!("2025-01-02T03:04:05z".parse::<Moment>().is_err());
}
