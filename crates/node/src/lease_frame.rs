//! What a row of a lease engine's frame holds where: `LEASE_FRAME`, `LEASE_OUTCOME` and `APPLIED` of
//! `src/engine/lease-frame.ts`. Its first numbers are those of [`hot::at`](crate::hot::at).

/// `LEASE_OUTCOME`, beyond those of [`hot::outcome`](crate::hot::outcome).
pub(crate) mod outcome {
    pub(crate) const LOW: f64 = 64.0;
    pub(crate) const WAIT: f64 = 128.0;
    pub(crate) const PROVISIONAL: f64 = 256.0;
    pub(crate) const RETURNS: f64 = 512.0;
    pub(crate) const ASK: f64 = 1024.0;
    pub(crate) const NUL: f64 = 2048.0;
}

/// `WITHOUT_NUL`: anything below 0 where a length would stand.
pub(crate) const WITHOUT_NUL: std::ops::RangeTo<f64> = ..0.0;

/// `APPLIED`.
pub(crate) mod applied {
    pub(crate) const KEPT: f64 = 0.0;
    pub(crate) const STALE: f64 = 1.0;
    pub(crate) const FULL: f64 = 2.0;
    pub(crate) const UNKNOWN: f64 = 3.0;
}

/// `LEASE_FRAME`.
pub(crate) mod at {
    pub(crate) const MONO: usize = 22;
    pub(crate) const WAIT: usize = 23;
    pub(crate) const HELD: usize = 24;
    pub(crate) const AHEAD: usize = 25;
    pub(crate) const SERVER: usize = 26;
    pub(crate) const EPOCH: usize = 27;
    pub(crate) const RULES: usize = 28;
    pub(crate) const LAG: usize = 28;
    pub(crate) const IS_PROVISIONAL: usize = 29;
    pub(crate) const RACES: usize = 30;
    pub(crate) const ROW: usize = 31;
}

/// One row.
pub(crate) type Row = [f64; at::ROW];

/// The frame.
pub(crate) type Frame = crate::hot::Frame<{ at::ROW }>;
