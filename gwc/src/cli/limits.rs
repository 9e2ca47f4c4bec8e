//! Options for limits on source files: one for each field of [`Limits`].

use sources::syntax::Limits;

/// Limits on source files, and the revision whose ignore rules apply.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitOptions {
    /// Read no file that this revision ignores (`.gitignore`) and does not contain; name the target
    /// branch of a pull request
    #[arg(long, value_name = "git:REV", help_heading = "Options")]
    pub(super) base: Option<String>,
    /// Maximum size of a file, such as 512KiB; at most 1GiB [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = size, hide_short_help = true)]
    max_file_size: Option<usize>,
    /// Maximum depth of lists and maps, with aliases expanded; at most 250 [default: 200]
    #[arg(long, value_name = "COUNT", value_parser = count::<DEPTH_MOST>, hide_short_help = true)]
    max_depth: Option<usize>,
    /// Maximum number of values in a file [default: 20000000]
    #[arg(long, value_name = "COUNT", value_parser = count::<COUNT_MOST>, hide_short_help = true)]
    max_values: Option<usize>,
    /// Maximum number of values that the aliases of a file expand to [default: 1000000]
    #[arg(long, value_name = "COUNT", value_parser = count::<COUNT_MOST>, hide_short_help = true)]
    max_alias_values: Option<usize>,
    /// Maximum number of files [default: 100000]
    #[arg(long, value_name = "COUNT", value_parser = count::<COUNT_MOST>, hide_short_help = true)]
    max_files: Option<usize>,
    /// Maximum number of references in a document [default: 10000000]
    #[arg(long, value_name = "COUNT", value_parser = count::<COUNT_MOST>, hide_short_help = true)]
    max_references: Option<usize>,
}

/// Upper bound of `--max-depth`: the program visits values recursively, and the YAML parser
/// supports a depth of 255.
const DEPTH_MOST: usize = 250;
/// Upper bound of the options with a count, because node ids and source locations are 32-bit
/// numbers.
const COUNT_MOST: usize = 1_000_000_000;
const BYTES_MOST: usize = 1 << 30;

impl LimitOptions {
    /// Returns the limits with defaults applied.
    pub(super) fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            bytes_max: self.max_file_size.unwrap_or(usual.bytes_max),
            depth_max: self.max_depth.unwrap_or(usual.depth_max),
            nodes_max: self.max_values.unwrap_or(usual.nodes_max),
            alias_nodes_max: self.max_alias_values.unwrap_or(usual.alias_nodes_max),
            files_max: self.max_files.unwrap_or(usual.files_max),
            references_max: self.max_references.unwrap_or(usual.references_max),
        }
    }
}

impl LimitOptions {
    /// Returns these options as arguments for another gwc process.
    pub(super) fn arguments(&self) -> Vec<String> {
        let bytes = self.max_file_size.map(|bytes| format!("{bytes}B"));
        let counts = [
            ("max-depth", self.max_depth),
            ("max-values", self.max_values),
            ("max-alias-values", self.max_alias_values),
            ("max-files", self.max_files),
            ("max-references", self.max_references),
        ];
        let counts = counts.into_iter();
        let counts = counts.map(|(name, count)| (name, count.map(|count| count.to_string())));
        [("base", self.base.clone()), ("max-file-size", bytes)]
            .into_iter()
            .chain(counts)
            .filter_map(|(name, value)| Some(format!("--{name}={}", value?)))
            .collect()
    }
}

fn count<const MOST: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {MOST}"))
}

fn size(text: &str) -> Result<usize, String> {
    let wrong = || "write a size from 1B to 1GiB, such as 512KiB or 64MiB".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let factor: usize = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: usize = number.parse().map_err(|_| wrong())?;
    let bytes = number.checked_mul(factor);
    let bytes = bytes.filter(|bytes| (1..=BYTES_MOST).contains(bytes));
    bytes.ok_or_else(wrong)
}
