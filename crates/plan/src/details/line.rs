//! Lines of a plan about settings, and the definitions that they compare.

use bundle::ir::{self, Link};
use policy::Checked;
use serde_json::Value;

use crate::{Change, Class, Plan, Section};

/// Id of a line about credentials that a service newly receives.
pub(super) const SENT: &str = "credentials-sent";

/// Id of a line about a service whose responses clients newly receive.
pub(super) const SERVICE_CALLED: &str = "service-asked";

/// Line of a plan before its operation and section are known.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) class: Class,
    pub(crate) id: &'static str,
    pub(crate) subject: String,
    pub(crate) old: Value,
    pub(crate) new: Value,
}

impl Line {
    /// Section of this line if it concerns an operation.
    pub(crate) fn section(&self) -> Section {
        match self.class {
            Class::Weaken | Class::Incomparable | Class::Strengthen => Section::Security,
            _ if [SENT, SERVICE_CALLED].contains(&self.id) => Section::Security,
            _ => Section::Policy,
        }
    }

    /// Change of a plan in a section, without an operation.
    pub(crate) fn in_section(self, section: Section) -> Change {
        Change::new(
            section,
            self.class,
            self.id,
            self.subject,
            self.old,
            self.new,
        )
    }
}

/// API on one side of a comparison, and the definitions of gateway.yaml on that side.
#[derive(Clone, Copy)]
pub(crate) struct ApiSide<'a> {
    pub(crate) api: &'a ir::Api,
    pub(crate) shared: &'a ir::Shared,
}

/// Adds lines that concern no operation to the plan.
pub(super) fn push(plan: &mut Plan, lines: Vec<Line>, section: impl Fn(&Line) -> Section) {
    for line in lines {
        let section = section(&line);
        plan.changes.push(line.in_section(section));
    }
}

/// Name of the policy of a link. `None`: the link is the check of credentials.
pub(super) fn named(link: &Link) -> Option<&str> {
    match link {
        Link::Authenticate => None,
        Link::Shared(name) | Link::Own(name) => Some(name),
    }
}

/// Definition of a policy in a chain, and where it is defined.
pub(super) fn definition<'s>(
    treatment: &ir::Treatment,
    name: &str,
    side: ApiSide<'s>,
) -> Option<(&'static str, &'s Checked)> {
    let mut chain = treatment.chain.iter();
    let link = chain.find(|link| named(link) == Some(name))?;
    let (place, policies) = match link {
        Link::Authenticate => return None,
        Link::Shared(_) => ("gateway.yaml", &side.shared.policies),
        Link::Own(_) => ("the document", &side.api.policies),
    };
    policies.get(name).map(|policy| (place, &policy.checked))
}
