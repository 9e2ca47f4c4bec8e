//! Comparison of everything except routing, access and the contract: limits, policies, upstreams,
//! consumers and all other settings, including those that gwd does not support yet.

mod body;
mod bound;
mod claims;
mod consumers;
mod definitions;
mod destination;
mod fields;
mod freed;
mod groups;
mod limits;
mod line;
mod operations;
mod pages;
mod plans;
mod questions;
mod restart;
mod schemes;
mod shown;
mod slashes;
mod tables;
mod unserved;
mod verifiers;

pub(super) use self::bound::{ends, goes_elsewhere};
pub(crate) use self::definitions::{listener, upstream};
pub(crate) use self::fields::hidden;
pub(super) use self::limits::{Cells as LimitedCells, OperationAt};
pub(super) use self::line::{ApiSide, Line};
pub(super) use self::operations::{are_compared, of_cell};
pub(crate) use self::shown::shown;
pub(super) use self::unserved::is_unserved;
use super::{Plan, security};
use crate::pairs::both;
use model::lower::Lowered;

/// Compares two gateways. Without an old side, only comparisons that need no old side are made.
pub(super) fn compare(old: Option<&Lowered>, new: &Lowered, plan: &mut Plan) {
    let before = old.map(|old| &old.gateway);
    security::gateway::compare(before, &new.gateway, plan);
    let Some(before) = before else {
        return;
    };
    let (was, is) = (&before.shared, &new.gateway.shared);
    consumers::consumers(before, &new.gateway, plan);
    plans::plans(before, &new.gateway, plan);
    plans::moved(before, &new.gateway, plan);
    definitions::shared(before, &new.gateway, plan);
    for (_, was, is) in both(&before.apis, &new.gateway.apis) {
        unserved::compare(was, is, plan);
    }
    for api in &new.gateway.apis {
        let Some(before) = before.apis.get(&api.name) else {
            continue;
        };
        let (before, after) = (
            ApiSide {
                api: before,
                shared: was,
            },
            ApiSide { api, shared: is },
        );
        definitions::api(before, after, plan);
        operations::operations(before, after, plan);
    }
    questions::of_new(before, &new.gateway, plan);
    questions::client_requests(before, &new.gateway, plan);
}

/// Reports settings that are written differently but have the same meaning. Called if there is no
/// other difference.
pub(super) fn restated(old: &Lowered, new: &Lowered, plan: &mut Plan) {
    definitions::restated(&old.gateway, &new.gateway, plan);
}
