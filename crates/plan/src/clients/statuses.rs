//! Responses of one side that describe a status of the other side.

use bundle::ir;

pub(super) fn has_content(response: &ir::Response) -> bool {
    response.media_types.iter().next().is_some()
}

/// True for a status whose responses have no content (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
pub(super) fn is_empty(status: &str) -> bool {
    matches!(status, "204" | "205" | "304")
}

/// True if a side describes statuses of a range, such as `200` of `2XX`, each with a body if the range
/// has one. Responses with these statuses are among those that the range describes.
pub(super) fn has_status_of(all: &[ir::Response], range: &ir::Response) -> bool {
    let class = range.status.to_ascii_lowercase();
    let Some(class) = class.strip_suffix("xx").filter(|class| class.len() == 1) else {
        return false;
    };
    let is_other = |one: &&ir::Response| !one.status.eq_ignore_ascii_case(&range.status);
    let of_range = all.iter().filter(|one| one.status.starts_with(class));
    let mut of_range = of_range.filter(is_other).peekable();
    let has_body = |one: &ir::Response| has_content(one) || !has_content(range);
    of_range.peek().is_some() && of_range.all(has_body)
}

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

fn find<'a>(all: &'a [ir::Response], status: &str) -> Option<&'a ir::Response> {
    let mut all = all.iter();
    all.find(|one| one.status.eq_ignore_ascii_case(status))
}
