//! Trace context in B3 fields, read from clients and sent to upstreams.

use gwd::node::{B3Form, Settings};

use crate::fixture::*;
use crate::traces::{Collector, PARENT, TRACE, hex};

/// Settings of a node that reads and sends B3 fields, and samples no request without a parent.
fn with_b3(collector: &Collector, form: B3Form) -> Settings {
    let mut settings = collector.settings(0.0);
    settings.traces.as_mut().unwrap().b3 = Some(form);
    settings
}

/// Values of a request's B3 fields: `b3`, then `X-B3-TraceId`, `-SpanId`, `-Sampled` and
/// `-ParentSpanId`.
fn b3_fields(seen: &Seen) -> [Vec<String>; 5] {
    let names = [
        "b3",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-sampled",
        "x-b3-parentspanid",
    ];
    names.map(|name| seen.field(name).into_iter().map(str::to_owned).collect())
}

#[test]
fn b3_parent_continues_in_the_chosen_form() {
    let single = format!("b3: {TRACE}-{PARENT}-1-{PARENT}\r\ntracestate: a=b\r\n");
    let multi = format!(
        "x-b3-traceid: {TRACE}\r\nx-b3-spanid: {PARENT}\r\nx-b3-sampled: 1\r\n\
         x-b3-parentspanid: {PARENT}\r\n"
    );
    for form in [B3Form::Single, B3Form::Multi] {
        for fields in [&single, &multi] {
            let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
            let shop = shop(upstream.address, vec![op("GET", "/a")]);
            let served = shop.serve_by(with_b3(&collector, form));
            assert_eq!(fetch(served.address, "GET", "/a", fields).status, 200);
            let spans = collector.spans(2);
            assert_eq!(hex(&spans[0].parent_span_id), PARENT);
            assert_eq!(hex(&spans[0].trace_id), TRACE);
            let client = hex(&spans[1].span_id);
            let seen = upstream.only();
            assert_eq!(
                seen.field("traceparent"),
                [format!("00-{TRACE}-{client}-01")]
            );
            assert_eq!(seen.field("tracestate"), [""; 0]);
            let one = |text: &str| vec![text.to_owned()];
            let expected = match form {
                B3Form::Single => {
                    let value = format!("{TRACE}-{client}-1");
                    [one(&value), vec![], vec![], vec![], vec![]]
                }
                B3Form::Multi => [vec![], one(TRACE), one(&client), one("1"), vec![]],
            };
            assert_eq!(b3_fields(&seen), expected);
        }
    }
}

#[test]
fn traceparent_and_decisions_precede_the_ratio() {
    let (upstream, collector) = (Upstream::saying("hello"), Collector::start());
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let served = shop.serve_by(with_b3(&collector, B3Form::Single));
    let other = "b3: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaa-1\r\n";
    let parent = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n{other}");
    fetch(served.address, "GET", "/a", &parent);
    fetch(served.address, "GET", "/a", "b3: nonsense\r\n");
    fetch(served.address, "GET", "/a", "b3: 0\r\n");
    // A decision without ids begins a sampled trace, although the ratio is 0.
    fetch(served.address, "GET", "/a", "b3: d\r\n");
    let spans = collector.spans(2);
    assert!(spans[0].parent_span_id.is_empty());
    let seen = upstream.seen();
    let b3 = |at: usize| b3_fields(&seen[at])[0].join(",");
    assert!(
        b3(0).starts_with(TRACE) && b3(0).ends_with("-0"),
        "{}",
        b3(0)
    );
    for at in [1, 2] {
        assert!(b3(at).len() == 51 && b3(at).ends_with("-0"), "{}", b3(at));
    }
    let (trace, span) = (hex(&spans[1].trace_id), hex(&spans[1].span_id));
    assert_eq!(b3(3), format!("{trace}-{span}-1"));
}
