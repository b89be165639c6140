//! What time it is: read once per call where JavaScript gives no instant.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use self::platform::{coarse_mono_ms, coarse_ms, mono_ms};

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

/// Clocks at half the price, that lag by some milliseconds; and one that never runs backwards, for all threads the same,
/// and counts from anywhere.
#[cfg(target_os = "linux")]
mod platform {
    use rustix::time::{ClockId, clock_gettime};

    pub(crate) fn coarse_ms() -> u64 {
        read(ClockId::RealtimeCoarse)
    }

    pub(crate) fn mono_ms() -> u64 {
        read(ClockId::Monotonic)
    }

    pub(crate) fn coarse_mono_ms() -> u64 {
        read(ClockId::MonotonicCoarse)
    }

    #[inline]
    fn read(clock: ClockId) -> u64 {
        let now = clock_gettime(clock);
        u64::try_from(now.tv_sec).unwrap_or(0) * 1_000 + now.tv_nsec.cast_unsigned() / 1_000_000
    }
}

/// Where no clock is cheaper.
#[cfg(not(target_os = "linux"))]
mod platform {
    use std::sync::LazyLock;
    use std::time::Instant;

    pub(crate) use super::system_ms as coarse_ms;
    pub(crate) use mono_ms as coarse_mono_ms;

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    #[expect(clippy::cast_possible_truncation, reason = "of half a billion years")]
    pub(crate) fn mono_ms() -> u64 {
        START.elapsed().as_millis() as u64
    }
}
