//! Memory asked for before it is needed, when a batch of keys is about to be looked up.

/// Has the processor fetch what stands at an address, and the line after it, into which an entry may reach.
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of an address that is not there does nothing.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(64).cast());
        }
    }
    // Elsewhere the compiler offers none, and the lookups wait one after the other.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
