//! Source locations of a change, and links to their lines in a commit, for Markdown.

use super::Change;
use diag::text::printable;
use diag::uri::path_reference;
use model::source_map::Place;

/// Side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before the change.
    Old,
    /// After the change.
    New,
}

/// Source location of a value, with the word that precedes it in Markdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLink<'a> {
    /// `was`, `now`, or `at` for a location that both sides have.
    pub word: &'static str,
    /// Side to whose files the location belongs.
    pub side: Side,
    /// The location.
    pub place: &'a Place,
}

impl SourceLink<'_> {
    /// Text of the location: `apis/orders.yaml:12:7`.
    #[must_use]
    pub fn text(&self) -> String {
        let Place { file, line, column } = self.place;
        printable(&format!("{file}:{line}:{column}"))
    }
}

/// Source locations of the old and the new value, if known. Equal locations give one entry.
#[must_use]
pub fn located(change: &Change) -> Vec<SourceLink<'_>> {
    let of = |word, side, place| SourceLink { word, side, place };
    match (&change.source_old, &change.source_new) {
        (Some(old), Some(new)) if old == new => vec![of("at", Side::New, new)],
        (old, new) => {
            let old = old.iter().map(|place| of("was", Side::Old, place));
            let new = new.iter().map(|place| of("now", Side::New, place));
            old.chain(new).collect()
        }
    }
}

/// Base URLs of links to the files of both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Base URL of the old side's files. `None`: no links.
    pub old: Option<Base>,
    /// Base URL of the new side's files. `None`: no links.
    pub new: Option<Base>,
}

/// Address of a folder at a commit, such as `https://github.com/OWNER/REPO/blob/COMMIT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base(String);

impl Base {
    /// Accepts an `http` or `https` address of printable ASCII that cannot end a link in Markdown.
    ///
    /// # Errors
    /// Returns a description of the part of the address that is not allowed.
    pub fn new(address: &str) -> Result<Self, String> {
        let is_web = address.starts_with("https://") || address.starts_with("http://");
        if !is_web {
            return Err(format!(
                "`{}` does not begin with `https://` or `http://`",
                printable(address)
            ));
        }
        let safe = |c: char| c.is_ascii_alphanumeric() || ":/._~-%+@".contains(c);
        if let Some(wrong) = address.chars().find(|c| !safe(*c)) {
            let wrong = printable(&wrong.to_string());
            return Err(format!(
                "`{wrong}` is not allowed in the address; write it percent-encoded"
            ));
        }
        Ok(Self(address.trim_end_matches('/').to_owned()))
    }

    /// Address of the folder `folder` below this address.
    #[must_use]
    pub fn below(&self, folder: &str) -> Self {
        let folder = folder.trim_end_matches('/');
        match folder {
            "" => self.clone(),
            folder => Self(format!("{}/{}", self.0, path_reference(folder))),
        }
    }

    fn line(&self, place: &Place) -> String {
        format!("{}/{}#L{}", self.0, path_reference(&place.file), place.line)
    }
}

impl Links {
    /// Address of a source location. `None` if its side has no base URL, or if the file is outside
    /// of the project folder.
    #[must_use]
    pub fn to(&self, located: &SourceLink<'_>) -> Option<String> {
        let base = match located.side {
            Side::Old => self.old.as_ref()?,
            Side::New => self.new.as_ref()?,
        };
        let file = &located.place.file;
        let is_inside = !file.starts_with('/') && !file.split('/').any(|part| part == "..");
        is_inside.then(|| base.line(located.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_that_could_end_a_link_is_refused() {
        for wrong in [
            "javascript:alert(1)",
            "git.example/o/r",
            "https://g/o r",
            "https://g/)",
            "https://g/#x",
            "https://g/<b>",
            "https://g/\n",
        ] {
            assert!(Base::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn special_characters_of_files_are_encoded() {
        let base = Base::new("https://git.example/o/r/blob/abc/").unwrap();
        let links = Links {
            old: None,
            new: Some(base.below("my shop/")),
        };
        let link = |side, file: &str| {
            let place = Place {
                file: file.to_owned(),
                line: 3,
                column: 5,
            };
            links.to(&SourceLink {
                word: "at",
                side,
                place: &place,
            })
        };
        assert_eq!(
            link(Side::New, "a)`<ü.yaml").as_deref(),
            Some("https://git.example/o/r/blob/abc/my%20shop/a%29%60%3C%C3%BC.yaml#L3")
        );
        assert_eq!(link(Side::New, "../x.yaml"), None);
        assert_eq!(link(Side::New, "/etc/x.yaml"), None);
        assert_eq!(link(Side::Old, "x.yaml"), None);
    }
}
