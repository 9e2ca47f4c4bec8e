//! Tests of client addresses in plans: trusted proxies, and policies that filter addresses.

use model::compile::Purpose;
use plan::{Outcome, Plan};

use crate::{DOCUMENT, GATEWAY, compiled, edit, lines};

/// Plan of two gateways with settings that gwd may not support yet.
pub(crate) fn planned(old: &str, new: &str) -> Plan {
    let side = |gateway: &str| {
        let files = [("gateway.yaml", gateway), ("api.yaml", DOCUMENT)];
        compiled(&files, Purpose::Route).expect("it compiles")
    };
    let plan = plan::compare(Some(&side(old)), &side(new)).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    plan
}

#[test]
fn filter_checks_the_peer_that_is_no_longer_trusted() {
    let at = |proxies: &str, filter: &str| {
        let text = format!(
            "{GATEWAY}listeners: {{public: {{address: \"127.0.0.1:8080\", trusted_proxies: [{proxies}]}}}}\n"
        );
        let text = edit(
            &text,
            "policies:\n",
            &format!("policies:\n  office: {{kind: ip_filter, {filter}}}\n"),
        );
        edit(&text, "[slow, edge]", "[office, slow, edge]")
    };
    let classes = |plan: &Plan| -> Vec<String> {
        let changes = plan.changes.iter();
        let changes = changes.filter(|change| change.id == "client-address-changed");
        changes
            .map(|change| change.class.name().to_owned())
            .collect()
    };
    for (filter, expected) in [
        ("allow: [10.0.0.0/8]", Some("weaken")),
        ("allow: [192.0.2.0/24]", Some("strengthen")),
        ("deny: [192.0.2.1]", Some("weaken")),
        ("deny: [10.0.0.0/8]", Some("strengthen")),
    ] {
        let both = "10.0.0.0/9, 10.128.0.0/9";
        let plan = planned(&at(both, filter), &at("10.0.0.0/9", filter));
        assert_eq!(classes(&plan), Vec::from_iter(expected), "{filter}");
        assert!(
            lines(&plan).contains(
                &"security incomparable trusted-proxy-removed listener public trusted_proxies"
                    .to_owned()
            ),
            "{:?}",
            lines(&plan)
        );
        assert_eq!(
            classes(&planned(&at("10.0.0.0/9", filter), &at(both, filter))),
            [""; 0]
        );
    }
}

#[test]
fn changed_trusted_ranges_show_the_difference() {
    let at = |proxies: &str| {
        format!(
            "{GATEWAY}listeners: {{public: {{address: \"127.0.0.1:8080\", trusted_proxies: [{proxies}]}}}}\n"
        )
    };
    let changes_of = |old: &str, new: &str| -> Vec<(String, String)> {
        let plan = planned(&at(old), &at(new));
        let changes = plan.changes.iter();
        changes
            .map(|change| {
                (
                    change.class.name().to_owned(),
                    format!("{} {}", change.old, change.new),
                )
            })
            .collect()
    };
    let one = |class: &str, text: &str| vec![(class.to_owned(), text.to_owned())];
    assert_eq!(
        changes_of("10.0.0.0/9", "10.0.0.0/8"),
        one("weaken", "null \"10.128.0.0/9 of 10.0.0.0/8\"")
    );
    assert_eq!(
        changes_of("10.0.0.0/8", "10.0.0.0/9"),
        one("incomparable", "\"10.128.0.0/9 of 10.0.0.0/8\" null")
    );
    // IPv4 addresses in IPv6 notation are the same addresses, and give the same bundle.
    assert_eq!(changes_of("10.0.0.0/8", "\"::ffff:10.0.0.0/104\""), []);
}

#[test]
fn filter_that_admits_no_address_has_a_plan() {
    let with = |filter: &str| {
        let text = edit(
            GATEWAY,
            "policies:\n",
            &format!("policies:\n  office: {{kind: ip_filter, {filter}}}\n"),
        );
        edit(&text, "[slow, edge]", "[office, slow, edge]")
    };
    let nobody = with("deny: [0.0.0.0/0, \"::/0\"]");
    let somebody = with("deny: [192.0.2.1]");
    for (old, new, class) in [
        (&somebody, &nobody, "strengthen"),
        (&nobody, &somebody, "weaken"),
    ] {
        let plan = planned(old, new);
        let change = plan
            .changes
            .iter()
            .find(|change| change.id == "address-filter-changed");
        let change = change.expect("the plan has the change");
        assert_eq!(change.class.name(), class);
        let witness = change.witness.as_ref().expect("a caller from outside");
        let refused = Outcome::Refused { status: 403 };
        let (inside, outside) = match class {
            "weaken" => (&witness.new, &witness.old),
            _ => (&witness.old, &witness.new),
        };
        assert_eq!(*outside, refused);
        assert_ne!(*inside, refused);
    }
    // Operations with an `ip_filter` are reported without an example request.
    let plain = edit(
        GATEWAY,
        "policies:\n",
        "policies:\n  office: {kind: ip_filter, deny: [0.0.0.0/0, \"::/0\"]}\n",
    );
    planned(&plain, &nobody);
}

#[test]
fn files_of_ranges_hold_for_every_content() {
    let with = |filter: &str| {
        let text = edit(
            GATEWAY,
            "policies:\n",
            &format!("policies:\n  office: {{kind: ip_filter, {filter}}}\n"),
        );
        edit(&text, "[slow, edge]", "[office, slow, edge]")
    };
    let allow_a = "allow_file: \"${file:/run/secrets/a}\"";
    let allow_b = "allow_file: \"${file:/run/secrets/b}\"";
    let deny_a = "deny_file: \"${file:/run/secrets/a}\"";
    let ten = "allow: [10.0.0.0/8]";
    for (old, new, expected) in [
        (ten, format!("{ten}, {allow_a}"), ["weaken", "strengthen"]),
        (ten, format!("{ten}, {deny_a}"), ["strengthen", "weaken"]),
        (ten, allow_a.to_owned(), ["incomparable", "incomparable"]),
        (
            allow_a,
            allow_b.to_owned(),
            ["incomparable", "incomparable"],
        ),
        (
            allow_a,
            format!("{allow_a}, deny: [10.0.0.0/8]"),
            ["strengthen", "weaken"],
        ),
        (deny_a, format!("{deny_a}, {ten}"), ["strengthen", "weaken"]),
        // An address that a file both allows and denies is denied.
        (
            "deny: [0.0.0.0/0, \"::/0\"]",
            format!("{allow_a}, {deny_a}"),
            ["", ""],
        ),
    ] {
        let (old, new) = (with(old), with(&new));
        for ((old, new), class) in [(&old, &new), (&new, &old)].into_iter().zip(expected) {
            let plan = planned(old, new);
            let changes = plan.changes.iter();
            let found = changes.filter(|change| change.id == "address-filter-changed");
            let classes: Vec<&str> = found.map(|change| change.class.name()).collect();
            let expected: Vec<&str> = (!class.is_empty()).then_some(class).into_iter().collect();
            assert!(
                classes.iter().all(|one| *one == class),
                "{old}\n{new}\n{classes:?}"
            );
            assert_eq!(classes.is_empty(), expected.is_empty(), "{old}\n{new}");
        }
    }
    // An `ip_filter` that gets its ranges only from a file is reported as added, like any other
    // filter.
    let plan = planned(GATEWAY, &with(deny_a));
    let added = plan
        .changes
        .iter()
        .find(|one| one.id == "address-filter-added");
    let added = added.expect("the plan has the change");
    assert_eq!(added.class.name(), "strengthen");
    assert!(added.witness.is_none() && added.why_none.is_some());
}
