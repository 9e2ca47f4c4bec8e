//! Numbers of logged requests that a change concerns, by caller (consumer).

use std::collections::BTreeMap;

use diag::text::printable;

/// Maximum number of consumers of one operation that are counted by name.
const NAMES_MAX: usize = 1000;

/// Maximum number of consumers in a sentence.
const SHOWN_MAX: usize = 5;

/// Number of requests, in all and by consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers {
    /// Number of requests.
    pub requests: u64,
    /// Number of requests by consumer.
    pub consumers: BTreeMap<String, u64>,
    /// Number of requests of consumers beyond the first [`NAMES_MAX`].
    pub others: u64,
    /// True if not every request is known to be concerned.
    pub is_upper_bound: bool,
    /// True if the counts are estimates, because a log is sampled.
    pub is_estimate: bool,
}

impl Callers {
    /// Counts requests of a caller.
    pub(crate) fn add(&mut self, consumer: Option<&str>, times: u64) {
        self.requests += times;
        if let Some(name) = consumer {
            self.add_named(name, times);
        }
    }

    /// Adds the counts of `other` to these counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.others += other.others;
        self.is_upper_bound |= other.is_upper_bound;
        self.is_estimate |= other.is_estimate;
        for (name, count) in &other.consumers {
            self.add_named(name, *count);
        }
    }

    fn add_named(&mut self, name: &str, count: u64) {
        let is_full = self.consumers.len() >= NAMES_MAX;
        match self.consumers.get_mut(name) {
            Some(known) => *known += count,
            None if is_full => self.others += count,
            None => drop(self.consumers.insert(name.to_owned(), count)),
        }
    }

    /// Sentence such as `12 requests of the logs, by acme (8), zeta (3) and callers without a name
    /// (1)`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let bound = match (self.is_upper_bound, self.is_estimate) {
            (false, false) => "",
            (true, false) => "at most ",
            (false, true) => "about ",
            (true, true) => "at most about ",
        };
        let mut text = match self.requests {
            1 => format!("{bound}1 request of the logs"),
            count => format!("{bound}{count} requests of the logs"),
        };
        let mut named: Vec<(&String, &u64)> = self.consumers.iter().collect();
        if named.is_empty() {
            return text;
        }
        named.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let shown = named.iter().take(SHOWN_MAX);
        let shown = shown.map(|(name, count)| format!("{} ({count})", printable(name)));
        let mut parts: Vec<String> = shown.collect();
        if let Some(more) = named.len().checked_sub(SHOWN_MAX + 1) {
            let plus = if self.others > 0 { "at least " } else { "" };
            parts.push(format!("{plus}{} more consumers", more + 1));
        }
        let unnamed = self.requests - self.others - self.consumers.values().sum::<u64>();
        if unnamed > 0 {
            parts.push(format!("callers without a name ({unnamed})"));
        }
        text.push_str(&format!(", by {}", parts.join(", ")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers(names: &[Option<&str>]) -> Callers {
        let mut callers = Callers::default();
        for name in names {
            callers.add(*name, 1);
        }
        callers
    }

    #[test]
    fn sentence_names_the_most_frequent_consumers() {
        let (a, b) = (Some("acme"), Some("zeta"));
        for (names, expected) in [
            (&[][..], "0 requests of the logs"),
            (&[None], "1 request of the logs"),
            (&[b, a, b], "3 requests of the logs, by zeta (2), acme (1)"),
            (
                &[a, None],
                "2 requests of the logs, by acme (1), callers without a name (1)",
            ),
        ] {
            assert_eq!(callers(names).sentence(), expected);
        }
    }

    #[test]
    fn sentence_says_how_exact_the_counts_are() {
        let mut callers = Callers::default();
        callers.add(Some("acme"), 40);
        for (is_upper_bound, is_estimate, expected) in [
            (false, false, "40 requests of the logs, by acme (40)"),
            (true, false, "at most 40 requests of the logs, by acme (40)"),
            (false, true, "about 40 requests of the logs, by acme (40)"),
            (
                true,
                true,
                "at most about 40 requests of the logs, by acme (40)",
            ),
        ] {
            let mut shown = callers.clone();
            (shown.is_upper_bound, shown.is_estimate) = (is_upper_bound, is_estimate);
            assert_eq!(shown.sentence(), expected);
        }
    }

    #[test]
    fn many_consumers_are_counted() {
        let names: Vec<String> = (0..2000).map(|number| format!("c{number}")).collect();
        let some: Vec<Option<&str>> = names.iter().map(|name| Some(&**name)).collect();
        let few = callers(&some[..7]).sentence();
        assert!(few.ends_with("c4 (1), 2 more consumers"), "{few}");
        let many = callers(&some);
        assert_eq!((many.consumers.len(), many.others), (NAMES_MAX, 1000));
        let text = many.sentence();
        assert!(text.ends_with("at least 995 more consumers"), "{text}");
    }
}
