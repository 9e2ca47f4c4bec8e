//! Comparison of two descriptions of responses: decides if one description accepts all responses
//! that the other accepts.

use bundle::ir::{ParameterPlace, Response};
use policy::invalid::Part;

use crate::compare::{Difference, Relation, lifts_check};
use crate::compared_names::{DescribedNames, owner};
use crate::cone::Cone;
use crate::contain::ContainmentCheck;
use crate::lower::Direction;
use crate::open::{BodyCheck, Extent, extent};
use crate::response::Statuses;

/// Differences between an old and a new description of responses. Empty if both were shown to
/// accept the same responses.
#[must_use]
pub fn differences(old: &Cone, new: &Cone) -> Vec<Difference> {
    if old.digest == new.digest {
        return Vec::new();
    }
    let sides = [old, new];
    let all = sides.map(|cone| cone.operation.responses.as_slice());
    let keys = |side: usize| all[side].iter().map(|one| one.status.as_str());
    let added = keys(1).filter(|key| !keys(0).any(|other| other == *key));
    let mut found = Vec::new();
    for key in keys(0).chain(added) {
        let status: Box<str> = key.into();
        let covering = all.map(|responses| covering(responses, key));
        let mut add = |part, media_type: Option<&str>, covers: [bool; 2], every| {
            let relation = match covers {
                [true, true] => return,
                [true, false] => Relation::Wider,
                [false, true] => Relation::Narrower,
                [false, false] => Relation::Unknown,
            };
            found.push(Difference {
                status: Some(status.clone()),
                part,
                media_type: media_type.map(Box::from),
                relation,
                accepts_every_body: every,
            });
        };
        match covering {
            [ResponseTreatment::By(was), ResponseTreatment::By(is)] => {
                pair(sides, [was, is], &mut add)
            }
            [was, is] => {
                let part = Part::Status;
                match (was.strictness(), is.strictness()) {
                    (Some(before), Some(after)) => {
                        let covers = [after <= before, before <= after];
                        let every = match is {
                            ResponseTreatment::By(is) => {
                                leaves_bodies_open((new, is), (old, all[0]))
                            }
                            _ => after == 0,
                        };
                        add(part, None, covers, every);
                    }
                    _ => add(part, None, [false, false], false),
                }
            }
        }
    }
    found
}

/// Treatment of the responses with certain statuses by one version.
#[derive(Clone, Copy)]
enum ResponseTreatment<'a> {
    /// Compared with this description of a response.
    By(&'a Response),
    /// Refused: a response with this status must be described.
    Refused,
    /// Not checked.
    Unchecked,
    /// Some of the statuses are refused, others are not checked.
    Mixed,
}

impl ResponseTreatment<'_> {
    /// Rank by strictness: 0 accepts every response, 2 accepts no response. `None` if the rank
    /// depends on the status.
    fn strictness(self) -> Option<u8> {
        match self {
            Self::Unchecked => Some(0),
            Self::By(_) => Some(1),
            Self::Refused => Some(2),
            Self::Mixed => None,
        }
    }
}

/// Finds how a version handles responses with the statuses of `key`, such as `404`, `4xx` or
/// `default`.
fn covering<'a>(responses: &'a [Response], key: &str) -> ResponseTreatment<'a> {
    let same = responses.iter().find(|one| one.status == key);
    if let Some(same) = same {
        return ResponseTreatment::By(same);
    }
    let wanted = Statuses::of(key);
    let mut wider = responses.iter().filter_map(|one| {
        let rank = Statuses::of(&one.status).covers(wanted)?;
        Some((rank, one))
    });
    if let Some((_, one)) = wider.by_ref().max_by_key(|(rank, _)| *rank) {
        return ResponseTreatment::By(one);
    }
    if responses.is_empty() {
        return ResponseTreatment::Unchecked;
    }
    match wanted {
        Statuses::One(200..=299) | Statuses::Class(2) => ResponseTreatment::Refused,
        Statuses::One(_) | Statuses::Class(_) => ResponseTreatment::Unchecked,
        Statuses::Default => ResponseTreatment::Mixed,
    }
}

/// True if the new description adds a response that lacks a check of the body that the old
/// description has. The old description refuses a response with this status. The upstream chooses
/// the status, so it can send every body with this status.
fn leaves_bodies_open((new, is): (&Cone, &Response), (old, was): (&Cone, &[Response])) -> bool {
    let direction = Direction::Response;
    let has_no_body = matches!(
        Statuses::of(&is.status),
        Statuses::One(100..=199 | 204 | 304) | Statuses::Class(1)
    );
    if has_no_body {
        return false;
    }
    let added = is.media_types.iter();
    let added: Vec<BodyCheck<'_>> = added
        .map(|one| BodyCheck::of(new, one, direction))
        .collect();
    let mut checked = was
        .iter()
        .flat_map(|one| &one.media_types)
        .map(|one| BodyCheck::of(old, one, direction))
        .filter(|one| one.extent > Extent::Nothing);
    checked.any(|was| {
        let mut all = added.iter();
        added.is_empty() || all.any(|is| is.leaves_open(&was, direction))
    })
}

/// Compares two descriptions of the same response. Calls `add` for each header field, and for the
/// body or each media type of the body. The array of `add` is `[new accepts all messages of old,
/// old accepts all messages of new]`, each as far as shown. The last argument is true if the new
/// description no longer checks the body.
fn pair<'a>(
    [old, new]: [&'a Cone; 2],
    [was, is]: [&'a Response; 2],
    add: &mut impl FnMut(Part, Option<&str>, [bool; 2], bool),
) {
    let direction = Direction::Response;
    let forth = || ContainmentCheck::in_direction(new, old, direction);
    let back = || ContainmentCheck::in_direction(old, new, direction);
    let gone = was.headers.iter();
    let gone = gone.filter(|one| is.headers.get(&one.name).is_none());
    let described = [was, is].map(DescribedNames::of_response);
    // For each side: fields that it accepts and the other side refuses because of their names.
    let uncovered = [0, 1].map(|side| described[side].uncovered(&described[1 - side]));
    for field in is.headers.iter().chain(gone) {
        let sides = [was, is].map(|one| one.headers.get(&field.name));
        let one = owner(ParameterPlace::Header, &field.name);
        let covers = [
            forth().field(sides[1], sides[0]) && !uncovered[0].contains(&one),
            back().field(sides[0], sides[1]) && !uncovered[1].contains(&one),
        ];
        add(
            Part::Header(field.name.as_str().into()),
            None,
            covers,
            false,
        );
    }
    let names = |one: &'a Response| one.media_types.iter().map(|one| &one.name);
    if names(was).eq(names(is)) {
        for (was, is) in was.media_types.iter().zip(&is.media_types) {
            let covers = [
                forth().media_type(Some(is), was),
                back().media_type(Some(was), is),
            ];
            let every = extent(new, is, direction) < extent(old, was, direction);
            add(Part::Body, Some(&is.name), covers, every);
        }
        return;
    }
    let covers = [
        forth().bodies(
            Some((false, &is.media_types)),
            Some((false, &was.media_types)),
        ),
        back().bodies(
            Some((false, &was.media_types)),
            Some((false, &is.media_types)),
        ),
    ];
    let every = lifts_check([(old, &was.media_types), (new, &is.media_types)], direction)
        || is.media_types.iter().next().is_none();
    add(Part::Body, None, covers, every);
}
