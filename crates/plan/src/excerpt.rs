//! Excerpts of an old and a new value that are too long for one line. An excerpt begins shortly
//! before the first difference, because the equal text before it does not show the change.

/// Number of equal characters that are shown before the first difference.
const BEFORE: usize = 24;

/// Returns both texts, shortened to about `chars_max` characters together. A short text leaves its
/// space to the other one. An ellipsis stands for characters that are left out.
pub(super) fn of([old, new]: [String; 2], chars_max: usize) -> [String; 2] {
    let sides = [&old, &new].map(|text| text.chars().collect::<Vec<char>>());
    let lengths = sides.each_ref().map(Vec::len);
    if lengths[0] + lengths[1] <= chars_max {
        return [old, new];
    }
    let pairs = sides[0].iter().zip(&sides[1]);
    let equal = pairs.take_while(|(one, other)| one == other).count();
    let start = match equal.saturating_sub(BEFORE) {
        // The ellipsis would be as long as what it stands for.
        ..=1 => 0,
        start => start,
    };
    let rests = lengths.map(|length| length.saturating_sub(start));
    let half = chars_max / 2;
    [0, 1].map(|side| {
        let room = half.max(chars_max.saturating_sub(rests[1 - side]));
        let end = lengths[side].min(start + room);
        let shown = sides[side].get(start..end).unwrap_or_default();
        let before = if start > 0 { "…" } else { "" };
        let after = if end < lengths[side] { "…" } else { "" };
        format!("{before}{}{after}", shown.iter().collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(old: &str, new: &str) -> [String; 2] {
        of([old.to_owned(), new.to_owned()], 80)
    }

    #[test]
    fn short_values_are_whole() {
        assert_eq!(excerpt("a", "b"), ["a", "b"]);
        let half = "x".repeat(40);
        assert_eq!(excerpt(&half, &half), [half.clone(), half]);
    }

    #[test]
    fn excerpt_begins_before_the_difference() {
        let equal = "x".repeat(100);
        let [old, new] = excerpt(&format!("{equal}old"), &format!("{equal}new"));
        let start = format!("…{}", "x".repeat(BEFORE));
        assert_eq!([old, new], [format!("{start}old"), format!("{start}new")]);
        // Nothing is left out before a difference that is near the beginning.
        let end = "y".repeat(100);
        let [old, new] = excerpt(&format!("a{end}"), &format!("ä{end}"));
        let rest = "y".repeat(39);
        assert_eq!([old, new], [format!("a{rest}…"), format!("ä{rest}…")]);
    }

    #[test]
    fn short_value_leaves_its_space_to_the_other() {
        let long = "x".repeat(100);
        let [old, new] = excerpt("nothing", &long);
        assert_eq!(old, "nothing");
        assert_eq!(new, format!("{}…", "x".repeat(73)));
        let [old, new] = excerpt(&long, &format!("{long}z"));
        assert_eq!(old, format!("…{}", "x".repeat(BEFORE)));
        assert_eq!(new, format!("…{}z", "x".repeat(BEFORE)));
    }
}
