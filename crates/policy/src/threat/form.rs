//! Texts of urlencoded forms and queries, decoded byte by byte.
//!
//! Each name and each value is searched separately. `%` without two hexadecimal digits is not
//! decoded, as in the URL Standard.

use super::rules::{Rule, Search};

/// Decoder of a form, query or path, which passes the decoded texts to a search.
#[derive(Debug)]
pub(super) struct Form {
    search: Search,
    /// True for forms and queries: `+` is a space, and `&` and `=` separate texts. False for a
    /// path.
    is_form: bool,
    /// State of a percent-escape: `0xff` before the first hexadecimal digit, then that digit.
    /// `None` outside an escape.
    escape: Option<u8>,
}

impl Form {
    pub(super) fn new(search: Search, is_form: bool) -> Self {
        Self {
            search,
            is_form,
            escape: None,
        }
    }

    /// Reads the next byte.
    pub(super) fn add(&mut self, byte: u8) -> Result<(), Rule> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        match (self.escape.take(), digit(byte)) {
            (None, _) => self.plain(byte),
            (Some(0xff), Some(_)) => {
                self.escape = Some(byte);
                Ok(())
            }
            (Some(0xff), None) => {
                self.search.add(b'%')?;
                self.plain(byte)
            }
            (Some(first), Some(second)) => {
                let value = digit(first).unwrap_or(0) * 16 + second;
                self.search.add(u8::try_from(value).unwrap_or(0))
            }
            (Some(first), None) => {
                self.search.add(b'%')?;
                self.search.add(first)?;
                self.plain(byte)
            }
        }
    }

    fn plain(&mut self, byte: u8) -> Result<(), Rule> {
        match byte {
            b'%' => {
                self.escape = Some(0xff);
                Ok(())
            }
            b'+' if self.is_form => self.search.add(b' '),
            b'&' | b'=' if self.is_form => self.search.end(),
            byte => self.search.add(byte),
        }
    }

    /// Ends the input, and searches the rest of the last text.
    ///
    /// # Errors
    /// The rule that the last text matches, if any.
    pub(super) fn end(&mut self) -> Result<(), Rule> {
        match self.escape.take() {
            None => {}
            Some(0xff) => self.search.add(b'%')?,
            Some(first) => {
                self.search.add(b'%')?;
                self.search.add(first)?;
            }
        }
        self.search.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::Rules;
    use super::*;

    #[test]
    fn texts_are_decoded_before_they_are_searched() {
        let rules = Rules::new(Rule::ALL);
        let found = |text: &str, is_form: bool| {
            let mut form = Form::new(Search::new(&rules), is_form);
            let mut bytes = text.bytes();
            bytes.try_for_each(|byte| form.add(byte))?;
            form.end()
        };
        let sql = Err(Rule::SqlUnion);
        assert_eq!(found("a=1+UNION+select+2&b=1", true), sql);
        assert_eq!(found("b=1&a=%55nion%20%73elect%201", true), sql);
        assert_eq!(found("/a/1+UNION+select+2", false), Ok(()));
        assert_eq!(found("/a/1%20UNION%20select%202", false), sql);
        assert_eq!(found("a=union&select=1", true), Ok(()));
        assert_eq!(found("a=%3Cscript%3", true), Ok(()));
        assert_eq!(found("a=%3Cscript%3e", true), Err(Rule::ScriptElement));
        assert_eq!(found("a=%00", true), Err(Rule::NullByte));
        assert_eq!(found("a=100%&b=50%2", true), Ok(()));
    }
}
