//! Findings about external processors (`kind: ext_proc`): an upstream that does not use HTTP/2, and
//! responses that may never end although a processor receives them as a whole.

use bundle::ir::UpstreamProtocol;
use diag::{Diagnostic, Sink};
use policy::Checked;
use policy::guard::ext_proc::author::{BUFFERED_STREAM, WITHOUT_HTTP2};

use super::{Api, Settings, chain};

/// Reports each policy whose processor is an upstream without HTTP/2, and each operation with
/// `stream: true` that has a policy with `response_body: buffered`.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    check_protocols(settings, apis, sink);
    check_streams(settings, apis, sink);
}

fn check_streams(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    for api in apis {
        let operations = api.operations.iter();
        for operation in operations.filter(|one| one.forwarding.stream) {
            let links = operation.chain.iter();
            let policies = links.filter_map(|link| chain::policy(settings, api, &link.value));
            let buffers = |checked: &Checked| matches!(checked, Checked::ExtProc(processor) if processor.reads_response_body());
            for policy in policies.filter(|policy| buffers(&policy.value.checked)) {
                let message = format!(
                    "`{}` reads whole responses, but `{}` has `stream: true`",
                    policy.value.name, operation.key
                );
                sink.push(
                    Diagnostic::new(&BUFFERED_STREAM, operation.span, message)
                        .related(policy.span, "the policy is defined here")
                        .help(
                            "give the operation a policy without `response_body`, or remove `stream: true`",
                        ),
                );
            }
        }
    }
}

fn check_protocols(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let own = apis.iter().flat_map(|api| &api.policies);
    for policy in settings.policies.iter().chain(own) {
        let Checked::ExtProc(processor) = &policy.value.checked else {
            continue;
        };
        let own = apis.iter().flat_map(|api| &api.upstreams);
        let mut upstreams = settings.upstreams.iter().chain(own);
        let upstream = upstreams.find(|one| one.value.ir.name == processor.service());
        let Some(upstream) = upstream else {
            continue;
        };
        let protocol = upstream.value.ir.protocol;
        if matches!(protocol, UpstreamProtocol::H2c | UpstreamProtocol::H2) {
            continue;
        }
        sink.push(
            Diagnostic::new(
                &WITHOUT_HTTP2,
                policy.span,
                format!(
                    "`{}` sends gRPC to `{}`, which has `protocol: {}`",
                    policy.value.name,
                    processor.service(),
                    protocol.word()
                ),
            )
            .related(upstream.span, "the upstream is defined here")
            .help("write `protocol: h2c` at the upstream, or `protocol: h2` for TLS"),
        );
    }
}
