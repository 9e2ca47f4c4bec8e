//! Results of the checks of items of sequences, for the log, the metrics and the response.

use std::cell::{Ref, RefCell};
use std::sync::Arc;

use policy::Reject;
use policy::invalid::{Finding, Invalid};
use policy::logged::Message;

/// Maximum number of findings about the items of one body.
const FINDINGS_MAX: usize = 20;

/// Items of one body that do not match their description, or that could not be checked.
pub(crate) struct ItemReport {
    /// Name of the policy that checks the body.
    pub(crate) policy: Arc<str>,
    /// Direction of the message.
    pub(crate) message: Message,
    /// True if the policy only logs findings: the items were forwarded nevertheless.
    pub(crate) logs: bool,
    /// Refusal of the message, and the first findings about its items.
    pub(crate) invalid: Invalid,
    /// Number of items that this report covers.
    pub(crate) items: u64,
}

/// Reports about the bodies of an exchange.
#[derive(Default)]
pub(crate) struct ItemReports(RefCell<Vec<ItemReport>>);

impl ItemReport {
    pub(crate) fn is_response(&self) -> bool {
        self.message == Message::Response
    }
}

impl ItemReports {
    /// Removes the reports of the previous exchange.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// Adds the result of one item. `message` and `logs`: as in [`ItemReport`].
    pub(crate) fn add(
        &self,
        (policy, message): (&Arc<str>, Message),
        logs: bool,
        reject: &'static Reject,
        findings: Vec<Finding>,
    ) {
        let mut all = self.0.borrow_mut();
        let known = all.iter_mut().find(|one| {
            let is_same = std::ptr::eq(one.invalid.reject, reject) && one.policy == *policy;
            is_same && one.message == message && one.logs == logs
        });
        match known {
            Some(report) => {
                let room = FINDINGS_MAX.saturating_sub(report.invalid.findings.len());
                report
                    .invalid
                    .findings
                    .extend(findings.into_iter().take(room));
                report.items += 1;
            }
            None => all.push(ItemReport {
                policy: Arc::clone(policy),
                message,
                logs,
                invalid: Invalid { reject, findings },
                items: 1,
            }),
        }
    }

    /// All reports.
    pub(crate) fn all(&self) -> Ref<'_, [ItemReport]> {
        Ref::map(self.0.borrow(), Vec::as_slice)
    }

    /// Findings about the item at which the request was refused. `None` if the request was not
    /// refused, or if the item could not be checked.
    pub(crate) fn refusal(&self) -> Option<Arc<Invalid>> {
        let all = self.0.borrow();
        let mut refused = all.iter().filter(|one| !one.is_response() && !one.logs);
        let report = refused.find(|one| !one.invalid.findings.is_empty())?;
        Some(Arc::new(report.invalid.clone()))
    }
}
