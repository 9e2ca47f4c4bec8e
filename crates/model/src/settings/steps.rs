//! Reader of the steps of progressive releases: `release.steps` of gateway.yaml.

use bundle::rollout::{ALL_PPM, STEPS_MAX, percent};
use diag::{Diagnostic, NodeRef, Sink, read};
use vocab::release_lints::RELEASE_STEPS;

/// Reads the shares of the steps in parts per million. Empty without steps. Reports steps that do
/// not increase. Values that are no percentages were already reported.
pub(super) fn steps(release: Option<NodeRef<'_>>, sink: &mut Sink) -> Vec<u32> {
    let list = release.and_then(|release| release.get("steps"));
    let mut steps: Vec<u32> = Vec::new();
    for item in list.into_iter().flat_map(NodeRef::items) {
        let Some(node) = item.get("nodes") else {
            continue;
        };
        let Ok(share) = read::percent_ppm(node) else {
            continue;
        };
        let wrong = match steps.last() {
            _ if share == 0 => Some("a share of no gateway".to_owned()),
            _ if share >= ALL_PPM => Some("the step of all gateways is not listed".to_owned()),
            Some(before) if *before >= share => Some(format!(
                "this share is not greater than {}, the share of the step before",
                percent(*before)
            )),
            _ if steps.len() == STEPS_MAX => Some(format!("more than {STEPS_MAX} steps")),
            _ => None,
        };
        match wrong {
            None => steps.push(share),
            Some(wrong) => {
                let help = "write increasing shares between `0%` and `100%`, such as `[{nodes: 5%}, {nodes: 50%}]`; all gateways follow as the last step";
                sink.push(Diagnostic::new(&RELEASE_STEPS, node.span(), wrong).help(help));
            }
        }
    }
    steps
}
