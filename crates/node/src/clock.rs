//! What time it is: read once per call where JavaScript gives no instant.

use std::time::{SystemTime, UNIX_EPOCH};

/// An instant given by JavaScript, if it is one; anything below 0 stands for the system's clock.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole milliseconds below 2^43"
)]
pub(crate) fn given(now_ms: f64) -> Option<u64> {
    (now_ms >= 0.0).then_some(now_ms as u64)
}

/// An instant given by JavaScript: the system's clock for anything below 0.
pub(crate) fn instant(now_ms: f64) -> u64 {
    given(now_ms).unwrap_or_else(system_ms)
}

pub(crate) fn system_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Half the work of as_millis, which counts in 128 bits.
    since.as_secs() * 1_000 + u64::from(since.subsec_millis())
}

/// The system's clock, or where the platform has one, one at half the price that lags by some milliseconds.
#[cfg(not(target_os = "linux"))]
pub(crate) fn coarse_ms() -> u64 {
    system_ms()
}

#[cfg(target_os = "linux")]
pub(crate) fn coarse_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000 + now.tv_nsec.cast_unsigned() / 1_000_000
}
