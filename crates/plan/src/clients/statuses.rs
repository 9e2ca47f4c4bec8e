//! Responses of one side that describe a status which only the other side names.

use bundle::ir;

/// Response that described a status which is new beside it: that of the status class. `default`
/// describes error statuses (4xx and 5xx), and a success status if no other one is described.
pub(super) fn class_of<'a>(all: &'a [ir::Response], status: &str) -> Option<&'a ir::Response> {
    let is_success = |status: &str| status.starts_with('2');
    let is_error = status.starts_with(['4', '5']);
    let is_for_success = is_success(status) && !all.iter().any(|one| is_success(&one.status));
    let is_described = is_error || is_for_success;
    own_class(all, status).or_else(|| find(all, "default").filter(|_| is_described))
}

/// Response that describes a status which is gone: that of the status class. For an error status
/// (4xx or 5xx), otherwise `default`.
pub(super) fn rest_of<'a>(all: &'a [ir::Response], status: &str) -> Option<&'a ir::Response> {
    let is_error = status.starts_with(['4', '5']);
    own_class(all, status).or_else(|| find(all, "default").filter(|_| is_error))
}

/// Response of the class of a status, such as `4XX`.
fn own_class<'a>(all: &'a [ir::Response], status: &str) -> Option<&'a ir::Response> {
    let class = format!("{}XX", status.get(..1)?);
    find(all, &class).filter(|_| !class.eq_ignore_ascii_case(status))
}

pub(super) fn find<'a>(all: &'a [ir::Response], status: &str) -> Option<&'a ir::Response> {
    let mut all = all.iter();
    all.find(|one| one.status.eq_ignore_ascii_case(status))
}

/// True if a response has a body.
pub(super) fn has_content(response: &ir::Response) -> bool {
    response.media_types.iter().next().is_some()
}
