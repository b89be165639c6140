//! Calendar periods in UTC. A quota asks when one has ended.

pub(crate) const DAY_MS: u64 = 86_400_000;

/// What a quota counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From midnight of one anchor day to the next.
    Month {
        /// 1 to 31, clamped to the last day of each month.
        anchor_day: u8,
    },
}

/// One period: from `start_ms`, up to and without `end_ms`, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First instant of the period.
    pub start_ms: u64,
    /// First instant of the next one.
    pub end_ms: u64,
}

impl Bounds {
    /// Whether the period holds an instant.
    #[must_use]
    pub fn contains(self, now_ms: u64) -> bool {
        self.start_ms <= now_ms && now_ms < self.end_ms
    }
}

impl Period {
    /// The period that holds `now_ms`. The month that holds the epoch may begin before it; then 0 stands for its start.
    #[must_use]
    pub fn bounds(self, now_ms: u64) -> Bounds {
        let today = i64::try_from(now_ms / DAY_MS).unwrap_or(i64::MAX);
        let (start, end) = match self {
            Self::Day => (today, today + 1),
            Self::Month { anchor_day } => {
                let (year, month) = year_and_month(today);
                let months = year * 12 + i64::from(month) - 1;
                let this_month = month_start(months, anchor_day);
                if this_month > today {
                    (month_start(months - 1, anchor_day), this_month)
                } else {
                    (this_month, month_start(months + 1, anchor_day))
                }
            }
        };
        Bounds {
            start_ms: to_ms(start),
            end_ms: to_ms(end),
        }
    }
}

fn to_ms(days: i64) -> u64 {
    u64::try_from(days).unwrap_or(0) * DAY_MS
}

/// Days since the epoch of the day on which a month begins; months are counted from year 0.
fn month_start(months: i64, anchor_day: u8) -> i64 {
    let first = days_from_civil(months.div_euclid(12), months.rem_euclid(12) + 1);
    let next = months + 1;
    let length = days_from_civil(next.div_euclid(12), next.rem_euclid(12) + 1) - first;
    first + i64::from(anchor_day).min(length) - 1
}

/// Days since the epoch of the first of a month, 1 to 12, in the proleptic Gregorian calendar.
///
/// Method: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_from_civil(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year and month, 1 to 12, of a day since the epoch; the inverse of [`days_from_civil`].
///
/// Method: as there, `civil_from_days`.
fn year_and_month(days: i64) -> (i64, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u8::try_from(month).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEBRUARY_29_2028: u64 = 1_835_395_200_000;

    #[test]
    fn a_day_runs_from_midnight_to_midnight() {
        let bounds = Period::Day.bounds(FEBRUARY_29_2028 + 1);
        assert_eq!(
            bounds,
            Bounds {
                start_ms: FEBRUARY_29_2028,
                end_ms: FEBRUARY_29_2028 + DAY_MS
            }
        );
        assert!(bounds.contains(FEBRUARY_29_2028) && !bounds.contains(FEBRUARY_29_2028 + DAY_MS));
    }

    #[test]
    fn an_anchor_past_the_end_of_the_month_is_its_last_day() {
        let month = Period::Month { anchor_day: 31 };
        let bounds = month.bounds(FEBRUARY_29_2028);
        assert_eq!(bounds.start_ms, FEBRUARY_29_2028);
        assert_eq!(bounds.end_ms, FEBRUARY_29_2028 + 31 * DAY_MS);
        assert_eq!(
            month.bounds(FEBRUARY_29_2028 - 1).start_ms,
            FEBRUARY_29_2028 - 29 * DAY_MS
        );
    }

    #[test]
    fn the_month_of_the_epoch_begins_at_the_latest_there() {
        let bounds = Period::Month { anchor_day: 15 }.bounds(0);
        assert_eq!(
            bounds,
            Bounds {
                start_ms: 0,
                end_ms: 14 * DAY_MS
            }
        );
    }

    #[test]
    fn periods_follow_each_other_without_gap_or_overlap() {
        for anchor_day in 1..=31 {
            let month = Period::Month { anchor_day };
            let mut bounds = month.bounds(951_782_400_000);
            for _ in 0..(12 * 400) {
                assert_eq!(month.bounds(bounds.end_ms - 1), bounds);
                let next = month.bounds(bounds.end_ms);
                assert_eq!(next.start_ms, bounds.end_ms);
                assert!((28..=31).contains(&((next.end_ms - next.start_ms) / DAY_MS)));
                bounds = next;
            }
        }
    }
}
