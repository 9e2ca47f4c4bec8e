//! Calendar dates.

/// Returns the end of a date (`2027-06-30`, UTC) in Unix seconds. `None` if the text is not a date.
#[must_use]
pub fn read_date(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        let digits = &text.get(range)?;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse::<i64>().ok())
            .flatten()
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [
        31,
        if leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let in_month = *days.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if year < 1970 || !(1..=in_month).contains(&day) {
        return None;
    }
    // Algorithm "days from civil" by Howard Hinnant: eras of 400 years, and years that begin in
    // March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    u64::try_from((days + 1) * 86_400).ok()
}

#[cfg(test)]
mod tests {
    use super::read_date;

    #[test]
    fn dates_end_at_midnight_utc() {
        assert_eq!(read_date("1970-01-01"), Some(86_400));
        assert_eq!(read_date("2024-02-29"), Some(1_709_251_200));
        assert_eq!(read_date("2027-06-30"), Some(1_814_400_000));
        for bad in [
            "2023-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-6-30",
            "27-06-30",
            "2027-06-31",
            "２０27-06-30",
        ] {
            assert_eq!(read_date(bad), None, "{bad}");
        }
    }
}
