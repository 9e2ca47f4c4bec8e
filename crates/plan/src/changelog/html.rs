//! Changelog as one HTML file, as [`crate::html`] writes plans.

use maud::{Markup, html};

use super::{Changelog, Entry};
use crate::html::{both, page};

/// Renders a changelog as an HTML document.
#[must_use]
pub fn render(changelog: &Changelog) -> String {
    let body = html! {
        header { h1 { "API changes" } }
        main {
            @if changelog.apis.is_empty() { p { "No changes for clients." } }
            @for api in &changelog.apis {
                section {
                    h2 { (api.name) }
                    @for (kind, entries) in &api.groups {
                        h3 { (kind.heading()) }
                        ul.lines { @for one in entries { li class=(kind.level()) { (entry(one)) } } }
                    }
                }
            }
        }
    };
    page("API changes", &body)
}

fn entry(entry: &Entry) -> Markup {
    html! {
        p.head {
            strong { (entry.operations_text()) }
            @if let Some(environments) = &entry.environments { " (" (environments) ")" }
            @if !entry.path.is_empty() { " " code { (entry.path) } }
        }
        p { (entry.text) }
        @if let Some(values) = &entry.values { (both(values)) }
    }
}
