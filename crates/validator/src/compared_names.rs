//! Comparison of the names of query parameters, header fields, cookies and form fields that two
//! descriptions accept.
//!
//! A description refuses names that some servers read as a described name: `Role` beside `role`. A
//! description can also refuse or remove query parameters that it does not describe. These rules
//! depend on all parameters of a place (query, header, cookie or form), so the parameters are
//! compared together. The comparison examines the described names and other spellings of them.

use std::collections::BTreeSet;

use bundle::ir::{ParameterPlace, Response, Value};

use crate::cone::Cone;
use crate::contain::ContainmentCheck;
use crate::form::FormNames;
use crate::kinds::Kinds;
use crate::lower::Lowering;
use crate::media::{Form, MediaType};
use crate::members::Members;
use crate::parameters::field_names::{FieldNames, UndescribedNames};
use crate::parameters::{Parameter, is_ignored};
use crate::style::Style;
use crate::text::escaped;

/// Maximum number of examined names of a parameter.
const NAMES_MAX: usize = 10_000;
/// Member that schemas do not describe.
const OTHER_MEMBER: &str = "x-other";

/// Parameter, as its place and its name.
pub(crate) type Owner = (ParameterPlace, String);

/// Parameters of one description, without validators of their values.
pub(crate) struct DescribedNames<'k> {
    parameters: Vec<Parameter>,
    /// Names that count as described. `None`: undescribed query parameters are accepted.
    known: Option<&'k [String]>,
    /// True if names are refused that some servers read as a described name.
    refuses_spellings: bool,
}

/// Checks of names, for each place of parameters.
struct NameChecks<'p> {
    query: FieldNames<'p>,
    cookies: FieldNames<'p>,
    headers: FieldNames<'p>,
    undescribed: Option<UndescribedNames<'p>>,
    refuses_spellings: bool,
}

impl DescribedNames<'_> {
    /// Reads the names of the header fields of a response.
    pub(crate) fn of_response(response: &Response) -> Self {
        let place = ParameterPlace::Header;
        let all = response.headers.iter();
        let all = all.filter(|one| !is_ignored(place, &one.name));
        let parameters = all.map(|one| {
            let written = (one.name.as_str(), one.required, &one.definition);
            Parameter::unchecked(place, written, |_| Kinds::default())
        });
        Self {
            parameters: parameters.collect(),
            known: None,
            refuses_spellings: true,
        }
    }
}

impl<'k> DescribedNames<'k> {
    /// Reads the parameters of a description. `known`: further names that count as described.
    /// `None`: undescribed query parameters are accepted.
    pub(crate) fn of(cone: &Cone, known: Option<&'k [String]>) -> Self {
        let all = cone.operation.parameters.iter();
        let all = all.filter(|one| !is_ignored(one.place, &one.name));
        let parameters = all.map(|one| {
            let written = (one.name.as_str(), one.required, &one.definition);
            Parameter::unchecked(one.place, written, |schema| {
                Kinds::of(&cone.schemas, schema)
            })
        });
        Self {
            parameters: parameters.collect(),
            known,
            refuses_spellings: true,
        }
    }

    /// Reads the names of query parameters that a description describes. `known`: further names
    /// that count as described.
    pub(crate) fn of_queries(cone: &Cone, known: &'k [String]) -> Self {
        Self {
            refuses_spellings: false,
            ..Self::of(cone, Some(known))
        }
    }

    /// Parameters whose names, or other spellings of them, this description accepts and `wide`
    /// refuses. Examines the parameters of both descriptions. Empty if the names are equal.
    pub(crate) fn uncovered(&self, wide: &Self) -> BTreeSet<Owner> {
        let mut found = BTreeSet::new();
        let mut seen: BTreeSet<(ParameterPlace, String)> = BTreeSet::new();
        let (narrow_checks, wide_checks) = (self.checks(), wide.checks());
        let all = || self.parameters.iter().chain(&wide.parameters);
        // Examine the described names first, because a spelling of one parameter can be the name of
        // a different one.
        let exact = all().map(|one| (one, described_names(one)));
        let others = all().map(|one| (one, other_names(one)));
        for (parameter, names) in exact.chain(others) {
            let place = parameter.place;
            for name in names {
                if !seen.insert((place, name.clone())) {
                    continue;
                }
                if narrow_checks.accepts(place, &name) && !wide_checks.accepts(place, &name) {
                    found.insert(owner(place, &parameter.name));
                    break;
                }
            }
        }
        found
    }

    /// True if this description describes a name of a parameter, or accepts undescribed names.
    pub(crate) fn shares_name_of(&self, place: ParameterPlace, other: &Self, name: &str) -> bool {
        let Some(known) = self.known else {
            return true;
        };
        let own = UndescribedNames::of(&self.parameters, known);
        let mut all = other.parameters.iter();
        let parameter = all.find(|one| one.place == place && *one.name == *name);
        let names = parameter.map(described_names).unwrap_or_default();
        names
            .iter()
            .any(|name| own.name_in(&escaped(name)).is_none())
    }

    fn checks(&self) -> NameChecks<'_> {
        let of = |place| FieldNames::of(&self.parameters, place);
        let known = self.known;
        NameChecks {
            query: of(ParameterPlace::Query),
            cookies: of(ParameterPlace::Cookie),
            headers: of(ParameterPlace::Header),
            undescribed: known.map(|known| UndescribedNames::of(&self.parameters, known)),
            refuses_spellings: self.refuses_spellings,
        }
    }
}

/// Parameter with this place and name. Header fields are in lower case.
pub(crate) fn owner(place: ParameterPlace, name: &str) -> Owner {
    let name = match place {
        ParameterPlace::Header => name.to_ascii_lowercase(),
        _ => name.to_owned(),
    };
    (place, name)
}

impl NameChecks<'_> {
    /// True if the description accepts the name of a field, whatever the value is.
    fn accepts(&self, place: ParameterPlace, name: &str) -> bool {
        match place {
            ParameterPlace::Query => {
                let query = escaped(name);
                let is_hidden = || self.query.hidden_in_query(&query).next().is_some();
                let is_refused = self.refuses_spellings && is_hidden();
                let mut undescribed = self.undescribed.iter();
                !is_refused && undescribed.all(|one| one.name_in(&query).is_none())
            }
            ParameterPlace::Cookie => {
                !self.refuses_spellings || self.cookies.read_as_cookie(name).is_none()
            }
            ParameterPlace::Header => {
                let others = || self.headers.headers_in_other_spelling(&[name]);
                !self.refuses_spellings || others().is_empty()
            }
            ParameterPlace::Path | ParameterPlace::Querystring => true,
        }
    }
}

/// Names of fields that a parameter describes.
fn described_names(parameter: &Parameter) -> Vec<String> {
    let own = parameter.name.to_string();
    match parameter.place {
        ParameterPlace::Query if parameter.style == Style::DeepObject => {
            let mut names = Vec::new();
            if parameter.kinds.has_scalars() {
                names.push(own.clone());
            }
            add_members(&own, &parameter.kinds, &mut names);
            names
        }
        ParameterPlace::Query | ParameterPlace::Cookie => {
            let names = parameter.names().into_iter();
            names.map(|name| name.text.to_owned()).collect()
        }
        ParameterPlace::Header => vec![own],
        ParameterPlace::Path | ParameterPlace::Querystring => Vec::new(),
    }
}

/// Adds the names of the members of a `deepObject`: `before[a]`, `before[a][b]`.
fn add_members(before: &str, kinds: &Kinds, names: &mut Vec<String>) {
    let known = kinds.properties.iter().map(|(name, _)| &**name);
    let item = kinds.has_arrays().then_some("");
    for name in known.chain([OTHER_MEMBER]).chain(item) {
        if names.len() >= NAMES_MAX {
            return;
        }
        let full = format!("{before}[{name}]");
        let inner = match name {
            "" => kinds.item(),
            name => kinds.property(name),
        };
        names.push(full.clone());
        if inner.has_parts() {
            add_members(&full, inner, names);
        }
    }
}

/// Names of fields that some servers read as a name of the parameter.
fn other_names(parameter: &Parameter) -> Vec<String> {
    if parameter.place == ParameterPlace::Header {
        let name = &*parameter.name;
        return vec![name.replace('-', "_"), name.replace('_', "-")];
    }
    let names = parameter.names().into_iter();
    names.flat_map(|name| spellings(name.text)).collect()
}

/// Other spellings of a name.
fn spellings(name: &str) -> impl Iterator<Item = String> {
    let all = [
        name.to_uppercase(),
        name.to_lowercase(),
        format!("[{name}]"),
        format!("{name}[]"),
        format!("{name}[{OTHER_MEMBER}]"),
        format!("{name}.{OTHER_MEMBER}"),
        format!("{OTHER_MEMBER}.{name}"),
        format!("{name}:list"),
        name.replace('_', "."),
        name.replace('[', ".").replace(']', ""),
    ];
    all.into_iter()
}

impl<'a> ContainmentCheck<'a> {
    /// True if the wide schema was shown to refuse, because of the spelling of their names, only
    /// members that the narrow schema refuses too.
    pub(crate) fn accepts_members(&self, wide: &'a Value, narrow: &'a Value) -> bool {
        if self.renewed().same(wide, narrow) {
            return true;
        }
        let [of_wide, of_narrow] = self.lowerings();
        let wide = Members::to_compare(&of_wide, wide);
        wide.accepts_names_of(&Members::to_compare(&of_narrow, narrow))
    }

    /// Like [`Self::accepts_members`], for the names of the fields of a form.
    pub(crate) fn accepts_fields(
        &self,
        media_type: &str,
        wide: &'a Value,
        narrow: &'a Value,
    ) -> bool {
        let Some(media_type) = MediaType::parse(media_type) else {
            return true;
        };
        let is_closed = Members::to_compare(&self.lowerings()[1], narrow).is_closed();
        let [of_wide, of_narrow] = self.tables();
        let sides = [Kinds::of(of_wide, wide), Kinds::of(of_narrow, narrow)];
        let [wide_names, narrow_names] = sides.each_ref().map(FormNames::of);
        let accepts = |names: &FormNames<'_>, name: &str| match media_type.form() {
            Form::Urlencoded => names.hidden(&escaped(name)).next().is_none(),
            _ => names.read_as_part(name).is_none(),
        };
        let names = || sides.iter().flat_map(|kinds| &kinds.properties);
        let exact = names().map(|(name, _)| name.to_string());
        let others = names().filter(|_| !is_closed);
        let others = others.flat_map(|(name, _)| spellings(name));
        let mut all = exact.chain(others);
        all.all(|name| accepts(&wide_names, &name) || !accepts(&narrow_names, &name))
    }

    fn lowerings(&self) -> [Lowering<'a>; 2] {
        self.tables()
            .map(|table| Lowering::new(table, self.direction()))
    }
}
