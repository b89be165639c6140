#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tollkeeper_limiter_fuzz::leases(bytes));
