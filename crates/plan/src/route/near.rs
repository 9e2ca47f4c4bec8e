//! Operations whose template almost matches a path: other letter case, a final slash, one segment
//! too many, or a typo.

use bundle::ir::{Segment, Template};
use engine::RouteRef;
use policy::RequestHead;

use super::candidates::Candidate;
use super::route_request::{Operation, RouteRequest, pattern_text};

/// Maximum number of templates that are reported.
const NEAR_MAX: usize = 5;
/// Maximum distance from a path at which a template counts as similar.
const DISTANCE_MAX: u32 = 3;
/// Maximum length of a path that is compared, in segments.
const SEGMENTS_MAX: usize = 64;

/// Finds the nearest templates at the mounts of the request's host, nearest first. Leaves out the
/// operation that handles the request, and the candidates.
pub(super) fn misses(
    route_request: RouteRequest<'_>,
    head: &RequestHead,
    handles: Option<&Operation>,
    candidates: &[Candidate],
) -> Vec<Candidate> {
    let snapshot = route_request.oracle.snapshot();
    let Some(pattern) = snapshot.host_pattern(route_request.question.listener, &head.host) else {
        return Vec::new();
    };
    let host = pattern_text(&pattern);
    let here = |route: &RouteRef<'_>| {
        let api = route_request.gateway().apis.get(route.api);
        let mount = api.and_then(|api| api.mounts.get(&route.mount.name));
        mount.is_some_and(|mount| {
            let listens = mount
                .listeners
                .iter()
                .any(|name| name == route_request.listener());
            let named = match host {
                Some(host) => mount.hosts.iter().any(|one| one == host),
                None => mount.hosts.is_empty(),
            };
            listens && named
        })
    };
    let known = |route: &RouteRef<'_>| {
        let candidates = candidates.iter().map(|one| &one.operation);
        let mut shown = handles.into_iter().chain(candidates);
        shown.any(|one| one.key == route.operation.key && one.mount == *route.mount.name)
    };
    let path: Vec<&str> = head.path().split('/').skip(1).collect();
    if path.len() > SEGMENTS_MAX {
        return Vec::new();
    }
    let mut found: Vec<(u32, RouteRef<'_>, String)> = Vec::new();
    let described = |route: &RouteRef<'_>| route.operation.owns.is_described();
    for route in snapshot.routes().filter(described) {
        let template = behind(&route);
        if let Some((distance, why)) = distance(&path, &template)
            && here(&route)
            && !known(&route)
        {
            // Of two equally near templates, prefer the template with the request's method.
            let other = u32::from(route.operation.method != head.method.as_str());
            found.push((2 * distance + other, route, why));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(b.1.id)));
    let nearest = found.into_iter().take(NEAR_MAX);
    nearest
        .map(|(_, route, reject_reason)| Candidate {
            operation: route_request.operation(&route),
            by: "template",
            reject_reason,
        })
        .collect()
}

fn behind(route: &RouteRef<'_>) -> Template {
    let template = route.operation.template.clone();
    match &*route.mount.base_path {
        "" => template,
        base => template.behind(base),
    }
}

/// Distance between a template and a path, with the first difference. `None` if the template
/// matches or is too far away.
fn distance(path: &[&str], template: &Template) -> Option<(u32, String)> {
    let segments = template.segments();
    let mut distance = 0;
    let mut same = 0;
    let mut why: Option<String> = None;
    for (index, (wanted, found)) in segments.iter().zip(path).enumerate() {
        let number = index + 1;
        let (cost, reason) = match apart(wanted, found) {
            SegmentDifference::Matches => {
                // A parameter matches any segment, so it does not indicate similarity.
                same += u32::from(!matches!(wanted, Segment::Parameter(_)));
                continue;
            }
            SegmentDifference::Case => (
                1,
                format!("segment {number} is `{wanted}`: the letter case differs"),
            ),
            SegmentDifference::Alike => {
                (2, format!("segment {number} is `{wanted}`, not `{found}`"))
            }
            SegmentDifference::Far => (4, format!("segment {number} is `{wanted}`, not `{found}`")),
        };
        distance += cost;
        why.get_or_insert(reason);
    }
    let (own, route_request) = (segments.len(), path.len());
    let rest = own.abs_diff(route_request);
    let longer = match own.cmp(&route_request) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less if template.is_prefix() => None,
        std::cmp::Ordering::Less if rest == 1 && path.last() == Some(&"") => {
            Some((1, "the template does not end in a slash".to_owned()))
        }
        std::cmp::Ordering::Greater
            if rest == 1 && segments.last() == Some(&Segment::Literal(String::new())) =>
        {
            Some((1, "the template ends in a slash".to_owned()))
        }
        std::cmp::Ordering::Less => Some((
            3,
            format!(
                "the template ends after {own} of {route_request} \
            segments"
            ),
        )),
        std::cmp::Ordering::Greater => {
            let next = &segments[route_request];
            Some((3, format!("the template continues with `/{next}`")))
        }
    };
    if let Some((cost, reason)) = longer {
        distance += cost * u32::try_from(rest).unwrap_or(u32::MAX / 8);
        why.get_or_insert(reason);
    }
    let near = distance <= DISTANCE_MAX && (same > 0 || distance <= 2);
    why.filter(|_| near).map(|why| (distance, why))
}

/// Kind of difference between a segment of the path and a segment of the template.
enum SegmentDifference {
    Matches,
    Case,
    Alike,
    Far,
}

fn apart(wanted: &Segment, found: &str) -> SegmentDifference {
    match wanted {
        Segment::Parameter(_) if !found.is_empty() => SegmentDifference::Matches,
        Segment::Parameter(_) => SegmentDifference::Far,
        Segment::Pattern(pattern) if pattern.matches(found) => SegmentDifference::Matches,
        Segment::Pattern(_) => SegmentDifference::Alike,
        Segment::Literal(text) if text == found => SegmentDifference::Matches,
        Segment::Folded(text) | Segment::Literal(text) if text.eq_ignore_ascii_case(found) => {
            match wanted {
                Segment::Folded(_) => SegmentDifference::Matches,
                _ => SegmentDifference::Case,
            }
        }
        Segment::Folded(text) | Segment::Literal(text) => {
            match diag::suggest::nearest(found, [text.as_str()]) {
                Some(_) => SegmentDifference::Alike,
                None => SegmentDifference::Far,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_template_has_a_reason_that_can_be_fixed() {
        let cases = [
            (
                "/orders",
                "/Orders",
                Some("segment 1 is `orders`: the letter case differs"),
            ),
            ("/orders/", "/orders", Some("the template ends in a slash")),
            (
                "/orders",
                "/orders/",
                Some("the template does not end in a slash"),
            ),
            (
                "/orders/{id}",
                "/order/7",
                Some("segment 1 is `orders`, not `order`"),
            ),
            (
                "/orders/{id}/lines",
                "/orders/7",
                Some("the template continues with `/lines`"),
            ),
            (
                "/orders",
                "/orders/7",
                Some("the template ends after 1 of 2 segments"),
            ),
            ("/orders", "/orders", None),
            ("/orders", "/invoices", None),
            ("/a/b/c/d", "/a", None),
            ("/v1/invoices", "/v1/orders", None),
            ("/{any}/latest", "/orders", None),
        ];
        for (template, path, expected) in cases {
            let path: Vec<&str> = path.split('/').skip(1).collect();
            let found = distance(&path, &Template::parse(template).unwrap());
            assert_eq!(
                found.as_ref().map(|(_, why)| why.as_str()),
                expected,
                "{template}"
            );
        }
    }
}
