//! Check of PromQL expressions against a table of metrics: names, kinds and labels.
//!
//! The check infers the labels of an expression's result. It reads the part of the language that
//! alerts and dashboards need: selectors, functions, aggregations and binary operators.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a value.
pub type Labels = BTreeSet<String>;

/// Labels that Prometheus adds to each series of a target.
const OF_TARGET: [&str; 2] = ["instance", "job"];
/// Aggregations that keep the labels of their series.
const SELECTING: [&str; 2] = ["bottomk", "topk"];
const AGGREGATIONS: [&str; 8] = [
    "avg", "bottomk", "count", "max", "min", "quantile", "sum", "topk",
];
/// Functions of counters.
const OF_COUNTERS: [&str; 3] = ["increase", "irate", "rate"];
const OPERATORS: [&str; 15] = [
    "==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/", "%", "^", "and", "or", "unless",
];

/// Metrics by name: the kind, and the labels.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<String, (String, Labels)>);

/// Reader of an expression.
struct Reader<'r> {
    table: &'r Table,
    tokens: Vec<String>,
    at: usize,
}

/// Result of a part of an expression.
struct Value {
    labels: Labels,
    is_scalar: bool,
    /// False for a series of a gauge.
    is_counter: bool,
}

type Found<T> = Result<T, String>;

impl Table {
    /// Reads the table of a page: rows with name, kind, labels and meaning.
    ///
    /// # Panics
    /// If the page has no such row.
    #[must_use]
    pub fn of_page(page: &str) -> Self {
        let rows = page.lines().filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let ["", name, kind, labels, _, ""] = cells[..] else {
                return None;
            };
            let name = name.strip_prefix('`')?.strip_suffix('`')?;
            let labels = labels
                .split(", ")
                .filter_map(|label| label.strip_prefix('`'));
            let labels = labels.map(|label| label.trim_end_matches('`').to_owned());
            Some((name.to_owned(), (kind.to_owned(), labels.collect())))
        });
        let table: BTreeMap<String, (String, Labels)> = rows.collect();
        assert!(!table.is_empty(), "no metrics");
        Self(table)
    }

    /// Adds a recorded series with the labels of its expression.
    pub fn record(&mut self, name: &str, labels: Labels) {
        self.0.insert(name.to_owned(), ("gauge".to_owned(), labels));
    }

    /// Labels of the result of an expression.
    ///
    /// # Errors
    /// The expression uses a metric or label that does not exist, or a gauge as a counter.
    pub fn labels(&self, expression: &str) -> Result<Labels, String> {
        let mut reader = Reader {
            table: self,
            tokens: tokens(expression),
            at: 0,
        };
        let value = reader.expression()?;
        match reader.next() {
            None => Ok(value.labels),
            Some(rest) => Err(format!("`{rest}` is left over")),
        }
    }

    /// Kind and labels of a series, with the labels of its target.
    fn series(&self, name: &str) -> Found<Value> {
        if name == "up" {
            return Ok(Value::of(&[], true, false));
        }
        if let Some((kind, labels)) = self.0.get(name) {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            return match kind.as_str() {
                "histogram" => Err(format!("`{name}` is a histogram")),
                _ => Ok(Value::of(&labels, !name.contains(':'), kind == "counter")),
            };
        }
        let part = ["_bucket", "_count", "_sum"].into_iter().find_map(|part| {
            let (kind, labels) = self.0.get(name.strip_suffix(part)?)?;
            (kind == "histogram").then_some((part, labels))
        });
        let (part, labels) = part.ok_or(format!("`{name}` is not a metric"))?;
        let mut value = Value::of(&[], true, true);
        value.labels.extend(labels.iter().cloned());
        value
            .labels
            .extend((part == "_bucket").then(|| "le".to_owned()));
        Ok(value)
    }
}

impl Value {
    fn of(labels: &[&str], has_target: bool, is_counter: bool) -> Self {
        let target: &[&str] = if has_target { &OF_TARGET } else { &[] };
        let all = labels.iter().chain(target);
        Self {
            labels: all.map(|label| (*label).to_owned()).collect(),
            is_scalar: false,
            is_counter,
        }
    }

    /// Fails unless the value has all of these labels.
    fn has(&self, labels: &Labels) -> Found<()> {
        match labels.difference(&self.labels).next() {
            None => Ok(()),
            Some(label) => Err(format!("no label `{label}` in {:?}", self.labels)),
        }
    }
}

impl Reader<'_> {
    fn next(&mut self) -> Option<&str> {
        self.at += 1;
        self.tokens.get(self.at - 1).map(String::as_str)
    }

    fn is_at(&self, token: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|one| one == token)
    }

    /// Skips a token, if it is the next one.
    fn takes(&mut self, token: &str) -> bool {
        let is_next = self.is_at(token);
        self.at += usize::from(is_next);
        is_next
    }

    fn expects(&mut self, token: &str) -> Found<()> {
        match self.takes(token) {
            true => Ok(()),
            false => Err(format!("`{token}` is missing before {:?}", self.next())),
        }
    }

    fn expression(&mut self) -> Found<Value> {
        let mut left = self.operand()?;
        while let Some(operator) = OPERATORS.iter().find(|one| self.is_at(one)) {
            self.at += 1;
            self.takes("bool");
            let by = ["on", "ignoring"].into_iter().find(|one| self.takes(one));
            let matched = by.map(|by| Ok((by, self.names()?))).transpose();
            let matched: Option<(&str, Labels)> = matched.map_err(|error: String| error)?;
            for group in ["group_left", "group_right"] {
                if self.takes(group) && self.is_at("(") {
                    self.names()?;
                }
            }
            let right = self.operand()?;
            if let Some(("on", labels)) = &matched {
                left.has(labels)?;
                right.has(labels)?;
            }
            left = match (left.is_scalar, *operator) {
                (true, _) => right,
                (false, "or") => Value {
                    labels: left.labels.union(&right.labels).cloned().collect(),
                    ..left
                },
                (false, _) => left,
            };
        }
        Ok(left)
    }

    fn operand(&mut self) -> Found<Value> {
        self.takes("-");
        let value = if self.takes("(") {
            let value = self.expression()?;
            self.expects(")")?;
            value
        } else {
            self.primary()?
        };
        while self.is_at("[") || self.is_at("offset") {
            let is_range = self.takes("[");
            self.at += if is_range { 0 } else { 2 };
            while is_range && !self.takes("]") {
                self.next().ok_or("`]` is missing")?;
            }
        }
        Ok(value)
    }

    fn primary(&mut self) -> Found<Value> {
        let name = self.next().ok_or("an operand is missing")?.to_owned();
        if name.starts_with(|c: char| c.is_ascii_digit() || c == '"') {
            return Ok(Value {
                is_scalar: true,
                ..Value::of(&[], false, false)
            });
        }
        if AGGREGATIONS.contains(&name.as_str()) {
            return self.aggregation(&name);
        }
        if self.is_at("(") {
            return self.call(&name);
        }
        let value = self.table.series(&name)?;
        if self.takes("{") {
            let mut names = Labels::new();
            while !self.takes("}") {
                names.insert(self.next().ok_or("`}` is missing")?.to_owned());
                self.at += 2;
                self.takes(",");
            }
            value
                .has(&names)
                .map_err(|error| format!("`{name}`: {error}"))?;
        }
        Ok(value)
    }

    fn aggregation(&mut self, name: &str) -> Found<Value> {
        let before = self.grouping()?;
        let mut arguments = self.arguments()?;
        let grouping = match before {
            Some(before) => Some(before),
            None => self.grouping()?,
        };
        let mut value = arguments.pop().ok_or("an argument is missing")?;
        if SELECTING.contains(&name) {
            return Ok(value);
        }
        value.is_counter = false;
        value.labels = match grouping {
            None => Labels::new(),
            Some((is_by, labels)) => {
                value.has(&labels)?;
                match is_by {
                    true => labels,
                    false => value.labels.difference(&labels).cloned().collect(),
                }
            }
        };
        Ok(value)
    }

    /// Labels behind `by` (true) or `without`.
    fn grouping(&mut self) -> Found<Option<(bool, Labels)>> {
        let is_by = self.takes("by");
        match is_by || self.takes("without") {
            true => Ok(Some((is_by, self.names()?))),
            false => Ok(None),
        }
    }

    fn call(&mut self, name: &str) -> Found<Value> {
        let mut arguments = self.arguments()?;
        let Some(mut value) = arguments.pop() else {
            return Ok(Value {
                is_scalar: true,
                ..Value::of(&[], false, false)
            });
        };
        if OF_COUNTERS.contains(&name) && !value.is_counter {
            return Err(format!("`{name}` of a gauge"));
        }
        if name == "histogram_quantile" && !value.labels.remove("le") {
            return Err("`histogram_quantile` without `le`".to_owned());
        }
        value.is_scalar &= name != "vector";
        Ok(value)
    }

    fn arguments(&mut self) -> Found<Vec<Value>> {
        self.expects("(")?;
        let mut all = Vec::new();
        while !self.takes(")") {
            all.push(self.expression()?);
            if !self.is_at(")") {
                self.expects(",")?;
            }
        }
        Ok(all)
    }

    /// Names of labels in parentheses.
    fn names(&mut self) -> Found<Labels> {
        self.expects("(")?;
        let mut all = Labels::new();
        while !self.takes(")") {
            all.insert(self.next().ok_or("`)` is missing")?.to_owned());
            self.takes(",");
        }
        Ok(all)
    }
}

/// Words, strings and operators of an expression.
fn tokens(expression: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_:.".contains(c);
    let mut rest = expression.trim_start();
    let mut all = Vec::new();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if first == '"' {
            rest[1..].find('"').map_or(rest.len(), |end| end + 2)
        } else {
            let two = ["==", "!=", ">=", "<=", "=~", "!~"];
            if two.iter().any(|two| rest.starts_with(two)) {
                2
            } else {
                first.len_utf8()
            }
        };
        all.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "| Metric | Kind | Labels | Meaning |\n|---|---|---|---|\n\
        | `a_total` | counter | `x`, `y` | A. |\n| `b` | gauge |  | B. |\n\
        | `c_seconds` | histogram | `x` | C. |\n";

    #[test]
    fn labels_of_results_are_inferred() {
        let mut table = Table::of_page(PAGE);
        table.record("r:x", Labels::from(["x".to_owned()]));
        for (expression, expected) in [
            ("a_total", "instance job x y"),
            ("b{instance=~\".*\", job!=\"(\"}", "instance job"),
            ("sum by (x) (rate(a_total{y=\"1\"}[5m]))", "x"),
            ("sum(rate(a_total[5m])) by (x, instance)", "instance x"),
            ("sum without (x) (a_total offset 5m)", "instance job y"),
            ("topk(2, a_total)", "instance job x y"),
            (
                "histogram_quantile(0.9, sum by (le, x) (rate(c_seconds_bucket[5m]))) > 0.1",
                "x",
            ),
            ("time() - b", "instance job"),
            ("(sum(b) > 0) or vector(0)", ""),
            ("-r:x * on(x) group_left(y) sum by (x) (a_total)", "x"),
            ("up == 0", "instance job"),
        ] {
            let found = table.labels(expression).expect(expression);
            let found: Vec<String> = found.into_iter().collect();
            assert_eq!(found.join(" "), expected, "{expression}");
        }
    }

    #[test]
    fn wrong_names_kinds_and_labels_are_found() {
        let table = Table::of_page(PAGE);
        for (expression, error) in [
            ("d", "`d` is not a metric"),
            ("b_bucket", "`b_bucket` is not a metric"),
            ("c_seconds", "`c_seconds` is a histogram"),
            ("rate(b[5m])", "`rate` of a gauge"),
            ("a_total{z=\"1\"}", "no label `z`"),
            ("sum by (z) (a_total)", "no label `z`"),
            ("sum by (y) (sum by (x) (a_total))", "no label `y`"),
            ("a_total / on(y) b", "no label `y`"),
            ("c_seconds_count{le=\"1\"}", "no label `le`"),
            ("histogram_quantile(0.9, c_seconds_count)", "without `le`"),
            ("b b", "left over"),
        ] {
            let found = table.labels(expression).expect_err(expression);
            assert!(found.contains(error), "{expression}: {found}");
        }
    }
}
