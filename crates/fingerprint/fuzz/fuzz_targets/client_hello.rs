#![no_main]

use libfuzzer_sys::fuzz_target;
use tollkeeper_fingerprint::{ClientHello, Ja4Raw, Signals, identify};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(hello) = ClientHello::parse(bytes) {
        let raw = Ja4Raw::of(&hello);
        assert_eq!(Ja4Raw::parse(&raw.to_string()).as_ref(), Ok(&raw));
        let _ = identify(&Signals::from_client_hello(&hello));
    }
});
