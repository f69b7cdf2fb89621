//! Calendar dates (UTC) of the simulator's clock: for what goes by the month, and for the one date that is told in words.
//!
//! Not a calendar: three numbers by an arithmetic of ten lines, for which a library would be the larger part.

/// The months in the platform's words.
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Year, month from 0 and day from 1.
fn date(now_ms: i64) -> (i64, i64, i64) {
    // Civil from days, by Howard Hinnant: eras of 400 years, years that begin in March.
    let days = now_ms.div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let (year, month) = if from_march < 10 { (0, from_march + 2) } else { (1, from_march - 10) };
    (era * 400 + year_of_era + year, month, day)
}

/// The calendar month, counted from year 0: for the monthly free tier.
pub(crate) fn month(now_ms: i64) -> i64 {
    let (year, month, _) = date(now_ms);
    year * 12 + month
}

/// The date in words, as Meta's pages print it: `November 30, 2026`.
pub(crate) fn in_words(now_ms: i64) -> String {
    let (year, month, day) = date(now_ms);
    let name = usize::try_from(month).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default();
    format!("{name} {day}, {year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_at_midnight() {
        // 2026-11-30 23:59:59.999 and 2026-12-01; 2028-02-29 and 2028-03-01.
        for first in [1_796_083_200_000, 1_835_481_600_000] {
            assert_eq!(month(first - 1) + 1, month(first));
            assert_eq!(month(first), month(first + 27 * 86_400_000));
        }
    }

    #[test]
    fn dates_are_told_in_words() {
        for (at_ms, words) in [
            (0, "January 1, 1970"),
            (1_796_083_199_999, "November 30, 2026"),
            (1_796_083_200_000, "December 1, 2026"),
            (1_835_481_599_999, "February 29, 2028"),
            (1_835_481_600_000, "March 1, 2028"),
        ] {
            assert_eq!(in_words(at_ms), words);
        }
    }
}
