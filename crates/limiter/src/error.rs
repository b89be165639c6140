//! Misuse, as a type. Every public call returns it; the crossing makes a stable code of it.

use std::fmt;

use crate::MAX_AMOUNT;
use crate::rule_set::MAX_RULE_SETS;

/// A call or a configuration that can't be carried out. A denial is none of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No tier has this number, or a reload has dropped it.
    TierUnknown,
    /// The cost, in thousandths, is more than a limit of the tier can ever hold.
    CostExceedsCapacity {
        /// The highest cost that can pass, in thousandths.
        most_milli: u64,
    },
    /// The tiers can't be used, and why.
    TiersInvalid(String),
    /// Keys and tiers are under too many different limits at once.
    TooManyRuleSets,
    /// More keys were stored than the table may hold.
    TooManyKeys {
        /// Keys that the table may hold.
        max_keys: usize,
    },
    /// Tokens can be granted of a quota only.
    GrantNoQuota,
    /// A key would have been granted more than can be counted.
    GrantTooLarge,
    /// A key to be granted something found no room.
    NoRoom {
        /// Keys that the table may hold.
        max_keys: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TierUnknown => f.write_str("no such tier"),
            Self::CostExceedsCapacity { most_milli } => {
                write!(
                    f,
                    "the cost can never pass: at most {most_milli} thousandths of a token can"
                )
            }
            Self::TiersInvalid(why) => f.write_str(why),
            Self::TooManyRuleSets => write!(f, "over {MAX_RULE_SETS} different sets of limits are in use at once"),
            Self::GrantNoQuota => f.write_str("tokens can be granted of a quota only"),
            Self::GrantTooLarge => {
                let (whole, thousandths) = (MAX_AMOUNT / 1_000, MAX_AMOUNT % 1_000);
                write!(
                    f,
                    "a key can be granted at most {whole}.{thousandths:03} tokens of one quota"
                )
            }
            Self::NoRoom { max_keys } => write!(f, "the key is new, and all {max_keys} of maxKeys are in use"),
            Self::TooManyKeys { max_keys } => write!(f, "more keys are stored than maxKeys, {max_keys}, allows"),
        }
    }
}

impl std::error::Error for Error {}
