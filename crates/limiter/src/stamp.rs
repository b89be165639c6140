//! Since when, and under which rules, something is known of a key: in one word of its state or its lease.

use crate::rule_set::RuleSetId;

const RULE_SET_BITS: u32 = 20;
const MARK: u64 = 1;

/// From the top: an instant in milliseconds since the epoch (43 bits), a rule set (20 bits), a mark (1 bit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) const NONE: Self = Self(0);

    /// Without the mark.
    #[inline]
    pub(crate) fn new(at_ms: u64, rule_set: RuleSetId) -> Self {
        Self((at_ms << (RULE_SET_BITS + 1)) | (u64::from(rule_set) << 1))
    }

    #[inline]
    pub(crate) fn at_ms(self) -> u64 {
        self.0 >> (RULE_SET_BITS + 1)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the bits above are those of the instant")]
    pub(crate) fn rule_set(self) -> RuleSetId {
        (self.0 >> 1) as u32 & ((1 << RULE_SET_BITS) - 1)
    }

    #[inline]
    pub(crate) fn is_marked(self) -> bool {
        self.0 & MARK != 0
    }

    #[inline]
    pub(crate) fn mark(&mut self) {
        self.0 |= MARK;
    }

    pub(crate) fn clear_mark(&mut self) {
        self.0 &= !MARK;
    }

    /// Another instant and rule set; the mark stays.
    #[inline]
    pub(crate) fn set(&mut self, at_ms: u64, rule_set: RuleSetId) {
        self.0 = Self::new(at_ms, rule_set).0 | (self.0 & MARK);
    }
}
