//! Finding about upstreams of external processors (`kind: ext_proc`) that do not use HTTP/2.

use bundle::ir::UpstreamProtocol;
use diag::{Diagnostic, Sink};
use policy::Checked;
use policy::guard::ext_proc::author::WITHOUT_HTTP2;

use super::{Api, Settings};

/// Reports each policy whose processor is an upstream without HTTP/2.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
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
