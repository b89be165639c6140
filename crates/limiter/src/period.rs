//! Calendar periods in UTC. A quota asks when one has ended.

use crate::NEVER_MS;

/// Every period that ends begins and ends with an hour.
pub(crate) const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Days from a Monday to the epoch.
const EPOCH_WEEKDAY: i64 = 3;

/// What a quota counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From midnight of one weekday to the next.
    Week {
        /// 1, Monday, to 7, Sunday.
        anchor_day: u8,
    },
    /// From midnight of one anchor day to the next.
    Month {
        /// 1 to 31, clamped to the last day of each month.
        anchor_day: u8,
    },
    /// From midnight of the first of one month to that of the next year.
    Year {
        /// 1 to 12.
        anchor_month: u8,
    },
    /// All of time: it never ends.
    Once,
}

/// One period: from `start_ms`, up to and without `end_ms`, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First instant of the period.
    pub start_ms: u64,
    /// First instant of the next one; [`NEVER_MS`](crate::NEVER_MS) if there is none.
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
    /// Whether its anchor is one that there is.
    pub(crate) fn is_sound(self) -> bool {
        match self {
            Self::Hour | Self::Day | Self::Once => true,
            Self::Week { anchor_day } => (1..=7).contains(&anchor_day),
            Self::Month { anchor_day } => (1..=31).contains(&anchor_day),
            Self::Year { anchor_month } => (1..=12).contains(&anchor_month),
        }
    }

    /// The period that holds `now_ms`. The one that holds the epoch may begin before it; then 0 stands for its start.
    #[must_use]
    pub fn bounds(self, now_ms: u64) -> Bounds {
        let today = i64::try_from(now_ms / DAY_MS).unwrap_or(i64::MAX);
        let (start, end) = match self {
            Self::Hour => {
                let start_ms = now_ms / HOUR_MS * HOUR_MS;
                return Bounds {
                    start_ms,
                    end_ms: start_ms + HOUR_MS,
                };
            }
            Self::Day => (today, today + 1),
            Self::Week { anchor_day } => {
                let start = today - (today + EPOCH_WEEKDAY + 1 - i64::from(anchor_day)).rem_euclid(7);
                (start, start + 7)
            }
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
            Self::Year { anchor_month } => {
                let (year, month) = year_and_month(today);
                let year = if month < anchor_month { year - 1 } else { year };
                let month = i64::from(anchor_month);
                (days_from_civil(year, month), days_from_civil(year + 1, month))
            }
            Self::Once => {
                return Bounds {
                    start_ms: 0,
                    end_ms: NEVER_MS,
                };
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
    fn an_hour_runs_from_one_full_hour_to_the_next() {
        let bounds = Period::Hour.bounds(FEBRUARY_29_2028 + 5 * HOUR_MS + 1);
        assert_eq!(
            bounds,
            Bounds {
                start_ms: FEBRUARY_29_2028 + 5 * HOUR_MS,
                end_ms: FEBRUARY_29_2028 + 6 * HOUR_MS
            }
        );
        assert_eq!(Period::Hour.bounds(bounds.end_ms).start_ms, bounds.end_ms);
    }

    #[test]
    fn a_week_begins_on_its_anchor_day_of_which_monday_is_the_first() {
        // The 29th of February 2028 is a Tuesday.
        let starts = (1..=7).map(|anchor_day| Period::Week { anchor_day }.bounds(FEBRUARY_29_2028 + 1).start_ms);
        let days_ago: Vec<_> = starts.map(|start_ms| (FEBRUARY_29_2028 - start_ms) / DAY_MS).collect();
        assert_eq!(days_ago, [1, 0, 6, 5, 4, 3, 2]);
        let monday = Period::Week { anchor_day: 1 }.bounds(0);
        assert_eq!((monday.start_ms, monday.end_ms), (0, 4 * DAY_MS));
        assert_eq!(Period::Week { anchor_day: 4 }.bounds(0).end_ms, 7 * DAY_MS);
    }

    #[test]
    fn a_year_begins_with_its_anchor_month() {
        let days = |anchor_month, now_ms| {
            let Bounds { start_ms, end_ms } = Period::Year { anchor_month }.bounds(now_ms);
            (end_ms - start_ms) / DAY_MS
        };
        assert_eq!(
            [1, 2, 3, 4].map(|month| days(month, FEBRUARY_29_2028)),
            [366, 366, 366, 366]
        );
        assert_eq!(days(3, FEBRUARY_29_2028 + DAY_MS), 365);
        let april = Period::Year { anchor_month: 4 }.bounds(FEBRUARY_29_2028);
        assert_eq!(april.end_ms, FEBRUARY_29_2028 + 32 * DAY_MS);
        assert_eq!(Period::Year { anchor_month: 4 }.bounds(0).end_ms, 90 * DAY_MS);
    }

    #[test]
    fn once_never_ends() {
        let bounds = Period::Once.bounds(FEBRUARY_29_2028);
        assert!(bounds.contains(0) && bounds.contains(NEVER_MS - 1));
        assert_eq!(bounds.end_ms, NEVER_MS);
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
    fn an_anchor_is_one_that_there_is() {
        let sound = |period: fn(u8) -> Period| {
            (0..=255)
                .filter(|&anchor| period(anchor).is_sound())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            sound(|anchor_day| Period::Week { anchor_day }),
            (1..=7).collect::<Vec<_>>()
        );
        assert_eq!(
            sound(|anchor_day| Period::Month { anchor_day }),
            (1..=31).collect::<Vec<_>>()
        );
        assert_eq!(
            sound(|anchor_month| Period::Year { anchor_month }),
            (1..=12).collect::<Vec<_>>()
        );
    }

    #[test]
    fn periods_follow_each_other_without_gap_or_overlap() {
        let months = (1..=31).map(|anchor_day| (Period::Month { anchor_day }, 12 * 400, 28..=31));
        let weeks = (1..=7).map(|anchor_day| (Period::Week { anchor_day }, 1_000, 7..=7));
        let years = (1..=12).map(|anchor_month| (Period::Year { anchor_month }, 240, 365..=366));
        let others = [(Period::Hour, 1_000, 0..=0), (Period::Day, 1_000, 1..=1)];
        for (period, count, days) in months.chain(weeks).chain(years).chain(others) {
            let mut bounds = period.bounds(951_782_400_000);
            for _ in 0..count {
                assert_eq!(period.bounds(bounds.end_ms - 1), bounds);
                let next = period.bounds(bounds.end_ms);
                assert_eq!(next.start_ms, bounds.end_ms);
                assert!(days.contains(&((next.end_ms - next.start_ms) / DAY_MS)), "{period:?}");
                bounds = next;
            }
        }
    }
}
