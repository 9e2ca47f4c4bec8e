//! Policies of an operation's chain.

use bundle::ir::{self, Link};

use crate::settings::Settings;
use crate::{Api, Defined};

/// Policy that a link of a chain names. `None` for authentication, and if no policy has the name.
pub(crate) fn policy<'a>(
    settings: &'a Settings,
    api: &'a Api,
    link: &Link,
) -> Option<&'a Defined<ir::Policy>> {
    let (name, all) = match link {
        Link::Authenticate => return None,
        Link::Shared(name) => (name, &settings.policies),
        Link::Own(name) => (name, &api.policies),
    };
    all.iter().find(|policy| policy.value.name == *name)
}
