//! What a row of a lease engine's frame holds where: `LEASE_FRAME`, `LEASE_OUTCOME` and `APPLIED` of
//! `src/engine/lease-frame.ts`. Its first numbers are those of [`hot::at`](crate::hot::at).

/// `LEASE_OUTCOME`, beyond those of [`hot::outcome`](crate::hot::outcome).
pub(crate) mod outcome {
    pub(crate) const LOW: f64 = 32.0;
    pub(crate) const WAIT: f64 = 64.0;
    pub(crate) const PROVISIONAL: f64 = 128.0;
    pub(crate) const RETURNS: f64 = 256.0;
    pub(crate) const ASK: f64 = 512.0;
    pub(crate) const NUL: f64 = 1024.0;
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
    pub(crate) const MONO: usize = 10;
    pub(crate) const WAIT: usize = 11;
    pub(crate) const HELD: usize = 12;
    pub(crate) const AHEAD: usize = 13;
    pub(crate) const SERVER: usize = 14;
    pub(crate) const EPOCH: usize = 15;
    pub(crate) const RULES: usize = 16;
    pub(crate) const LAG: usize = 16;
    pub(crate) const IS_PROVISIONAL: usize = 17;
    pub(crate) const ROW: usize = 18;
}

/// One row.
pub(crate) type Row = [f64; at::ROW];

/// The frame.
pub(crate) type Frame = crate::hot::Frame<{ at::ROW }>;
