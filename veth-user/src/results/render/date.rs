//! A moment as people write it. The clock is somebody else's.

const DAY_S: u64 = 24 * 60 * 60;
/// Days from the first of March of the year 0 to 1970.
const DAYS_TO_1970: u64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const DAYS_OF_ERA: u64 = 146_097;

/// Seconds since 1970 as date and time of day, UTC, to the minute: `2026-11-20 19:15 UTC`.
pub(super) fn utc(since_1970_s: u64) -> String {
    let (year, month, day) = civil(since_1970_s / DAY_S);
    let minutes = since_1970_s % DAY_S / 60;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// Year, month and day of the Gregorian calendar. Years are counted from the first of March, so
/// that the day which some years lack is the last of the year.
fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + DAYS_TO_1970;
    let (era, day_of_era) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months since March: five of them have 153 days, wherever one begins to count.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (era * 400 + year_of_era + year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (at_s, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_709_164_800, "2024-02-29 00:00 UTC"),
            (1_795_202_100, "2026-11-20 19:15 UTC"),
            (4_107_542_399, "2100-02-28 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(utc(at_s), text);
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut before = civil(0);
        for days in 1..200_000 {
            let (year, month, day) = civil(days);
            let follows = match before {
                (y, m, d) if (y, m) == (year, month) => day == d + 1,
                (y, m, _) if y == year => month == m + 1 && day == 1,
                (y, m, d) => (year, month, day) == (y + 1, 1, 1) && (m, d) == (12, 31),
            };
            assert!(follows, "{before:?} {:?}", (year, month, day));
            before = (year, month, day);
        }
    }
}
