//! Untrusted bytes: never a panic, always a clean answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;
use tollkeeper_fingerprint::{
    ClientHello, ErrorCode, Ja3, Ja4Raw, MAX_CIPHERS, MAX_CLIENT_HELLO, MAX_EXTENSIONS, Transport, batch_json,
    compare_json, identify_json,
};

fn captured(file: &str) -> Vec<u8> {
    let rows: Value = serde_json::from_str(file).unwrap();
    STANDARD.decode(rows[0]["client_hello"].as_str().unwrap()).unwrap()
}

fn chromium() -> Vec<u8> {
    captured(include_str!("../data/chromium.json"))
}

/// The handshake message of a flight in one record.
fn message(flight: &[u8]) -> &[u8] {
    &flight[5..]
}

/// A message cut into records of at most `size` bytes.
fn cut(message: &[u8], size: usize) -> Vec<u8> {
    let mut flight = Vec::new();
    for part in message.chunks(size) {
        flight.extend_from_slice(&[0x16, 3, 1]);
        flight.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
        flight.extend_from_slice(part);
    }
    flight
}

/// A bare hello with these cipher and extension bytes.
fn hello(ciphers: &[u8], extensions: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.extend_from_slice(&length(ciphers));
    body.extend_from_slice(ciphers);
    body.extend_from_slice(&[1, 0]);
    body.extend_from_slice(&length(extensions));
    body.extend_from_slice(extensions);
    let [high, low] = length(&body);
    [vec![1, 0, high, low], body].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&kind.to_be_bytes(), &length, body].concat()
}

fn refusal(bytes: &[u8]) -> (ErrorCode, String) {
    let error = ClientHello::parse(bytes).unwrap_err();
    (error.kind(), error.message().to_owned())
}

#[test]
fn every_truncation_is_called_one() {
    for file in [
        include_str!("../data/chromium.json"),
        include_str!("../data/openssl.json"),
    ] {
        let flight = captured(file);
        for length in 0..flight.len() {
            assert_eq!(
                refusal(&flight[..length]).0,
                ErrorCode::ClientHelloTruncated,
                "{length}"
            );
        }
        for length in 0..message(&flight).len() {
            assert_eq!(
                refusal(&message(&flight)[..length]).0,
                ErrorCode::ClientHelloTruncated,
                "{length}"
            );
        }
    }
}

#[test]
fn however_it_is_cut_it_is_the_same() {
    let flight = chromium();
    let whole = ClientHello::parse(&flight).unwrap();
    assert_eq!(ClientHello::parse(message(&flight)).unwrap(), whole);
    for size in [1, 2, 3, 5, 100, 1024, 1500] {
        assert_eq!(
            ClientHello::parse(&cut(message(&flight), size)).unwrap(),
            whole,
            "{size}"
        );
    }
    let early_data = [flight.clone(), vec![0x14, 3, 3, 0, 1, 1, 0x17, 3, 3]].concat();
    assert_eq!(ClientHello::parse(&early_data).unwrap(), whole);
}

#[test]
fn what_is_no_hello_is_told_apart() {
    let flight = chromium();
    let two = [flight.clone(), flight.clone()].concat();
    let after = [message(&flight), &[0]].concat();
    let packed = cut(&after, 4096);
    let long = vec![1; 2 * MAX_CLIENT_HELLO + 1];
    for (bytes, code, part) in [
        (&b"GET / HTTP/1.1\r\n"[..], ErrorCode::ClientHelloNotTls, "plain HTTP"),
        (&[0x80, 0x2e, 1, 3, 1], ErrorCode::ClientHelloNotTls, "SSLv2"),
        (&[0x17, 3, 3, 0, 1, 0], ErrorCode::ClientHelloNotTls, "0x17"),
        (&[0x16, 2, 0, 0, 1, 1], ErrorCode::ClientHelloNotTls, "version 2"),
        (
            &[0x16, 3, 3, 0, 4, 2, 0, 0, 0],
            ErrorCode::ClientHelloNotTls,
            "handshake type 0x02",
        ),
        (&[0x16, 3, 1, 0, 0], ErrorCode::ClientHelloMalformed, "record is empty"),
        (
            &[0x16, 3, 1, 0, 1, 1, 0x17, 3, 3, 0, 1, 0],
            ErrorCode::ClientHelloMalformed,
            "at byte 6",
        ),
        (&[0x16, 3, 1, 0x40, 1], ErrorCode::ClientHelloTooLarge, "16385"),
        (&[1, 0, 0x40, 0], ErrorCode::ClientHelloTooLarge, "16388"),
        (&long, ErrorCode::ClientHelloTooLarge, "32769"),
        (&two, ErrorCode::ClientHelloMalformed, "follows the ClientHello"),
        (&after, ErrorCode::ClientHelloMalformed, "1 bytes follow the message"),
        (
            &packed,
            ErrorCode::ClientHelloMalformed,
            "1 bytes follow the message in its record",
        ),
    ] {
        let (found, message) = refusal(bytes);
        assert_eq!(found, code, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn lengths_inside_that_contradict_are_malformed() {
    let mut long_session = hello(&[], &[]);
    long_session[38] = 33;
    let mut after_extensions = hello(&[], &[]);
    after_extensions.push(0);
    after_extensions[3] += 1;
    for (bytes, part) in [
        (hello(&[0x13], &[]), "cipher_suites has an odd length, 1"),
        (hello(&[], &[0]), "an extension's type takes 2 bytes, 1 are left"),
        (hello(&[], &[0, 5, 0, 9]), "an extension takes 9 bytes, 0 are left"),
        (
            hello(&[], &extension(10, &[0, 1, 0])),
            "supported_groups has an odd length",
        ),
        (
            hello(&[], &extension(10, &[0, 0, 0])),
            "1 bytes follow supported_groups",
        ),
        (hello(&[], &extension(11, &[2, 0])), "ec_point_formats takes 2 bytes"),
        (
            hello(&[], &extension(13, &[0, 2, 4])),
            "signature_algorithms takes 2 bytes",
        ),
        (
            hello(&[], &extension(16, &[0, 2, 2, b'h'])),
            "an ALPN name takes 2 bytes",
        ),
        (hello(&[], &extension(16, &[0, 0, 0])), "1 bytes follow ALPN"),
        (
            hello(&[], &extension(43, &[1, 3])),
            "supported_versions has an odd length",
        ),
        (after_extensions, "1 bytes follow the extensions"),
        (long_session, "legacy_session_id"),
    ] {
        let (code, message) = refusal(&bytes);
        assert_eq!(code, ErrorCode::ClientHelloMalformed, "{message}");
        assert!(message.contains(part) && message.contains("at byte"), "{message}");
    }
}

#[test]
fn limits_hold_exactly() {
    let ciphers = vec![0x13; 2 * MAX_CIPHERS];
    let extensions: Vec<u8> = (1000..)
        .take(MAX_EXTENSIONS)
        .flat_map(|kind| extension(kind, &[]))
        .collect();
    let parsed = ClientHello::parse(&hello(&ciphers, &extensions)).unwrap();
    assert_eq!(
        (parsed.ciphers.len(), parsed.extensions.len()),
        (MAX_CIPHERS, MAX_EXTENSIONS)
    );
    let more_ciphers = [ciphers, vec![0x13, 1]].concat();
    let more_extensions = [extensions, extension(1, &[])].concat();
    let names = vec![0; MAX_EXTENSIONS + 1];
    let alpn = extension(16, &[vec![0, 129], names].concat());
    for bytes in [
        hello(&more_ciphers, &[]),
        hello(&[], &more_extensions),
        hello(&[], &alpn),
    ] {
        assert_eq!(refusal(&bytes).0, ErrorCode::ClientHelloTooMany);
    }
}

#[test]
fn empty_lists_are_accepted() {
    let mut old = hello(&[], &[]);
    old.truncate(old.len() - 2);
    old[3] -= 2;
    let parsed = ClientHello::parse(&old).unwrap();
    assert!(parsed.ciphers.is_empty() && parsed.extensions.is_empty() && !parsed.has_sni());
}

/// RFC 8446, 4.2 forbids it; a client that does it is told by it.
#[test]
fn an_extension_sent_twice_counts_twice_and_its_lists_are_joined() {
    let twice = [
        extension(13, &[0, 2, 4, 3]),
        extension(5, &[]),
        extension(13, &[0, 2, 8, 4]),
        extension(5, &[]),
    ];
    let parsed = ClientHello::parse(&hello(&[0x13, 1], &twice.concat())).unwrap();
    assert_eq!(parsed.extensions, [13, 5, 13, 5]);
    let raw = Ja4Raw::of(&parsed).to_string();
    assert_eq!(raw, "t12i010400_1301_0005,0005,000d,000d_0403,0804");
    assert_eq!(Ja4Raw::parse(&raw).unwrap().to_string(), raw);
}

#[test]
fn an_extension_without_its_list_has_an_empty_one() {
    let bodiless = [10, 11, 13, 16, 43].map(|kind| extension(kind, &[])).concat();
    let empty = [
        extension(10, &[0, 0]),
        extension(11, &[0]),
        extension(13, &[0, 0]),
        extension(16, &[0, 0]),
        extension(43, &[0]),
    ];
    for extensions in [bodiless, empty.concat()] {
        let parsed = ClientHello::parse(&hello(&[0x13, 1], &extensions)).unwrap();
        assert_eq!(Ja4Raw::of(&parsed).to_string(), "t12i010500_1301_000a,000b,000d,002b");
        assert_eq!(Ja3::of(&parsed).to_string(), "771,4865,10-11-13-16-43,,");
    }
}

#[test]
fn no_more_is_allocated_than_came_in() {
    let ciphers = vec![0x13; 2 * MAX_CIPHERS];
    let names = extension(16, &[&[0, 200][..], &[1, b'x'].repeat(100)].concat());
    let many: Vec<u8> = (1000..1100).flat_map(|kind| extension(kind, &[])).collect();
    for flight in [chromium(), hello(&ciphers, &[names, many].concat())] {
        let parse = |bytes: &[u8]| allocation_counter::measure(|| drop(ClientHello::parse(bytes).unwrap())).bytes_max;
        let size = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap();
        assert!(parse(&flight) <= size(&flight));
        let bare = if flight[0] == 0x16 { message(&flight) } else { &flight };
        for piece in [1, 7, 100] {
            let pieces = cut(bare, piece);
            // Put together once, and the lists that are kept.
            assert!(parse(&pieces) <= 2 * size(bare), "{piece}");
        }
    }
    // Lengths that promise more than there is ask for nothing.
    let promising = [&[0x16, 3, 1, 0, 5, 1, 0, 0x3f, 0xfc, 3][..], &[0x16, 3, 1, 0x40, 0, 3]].concat();
    let refused = allocation_counter::measure(|| drop(ClientHello::parse(&promising)));
    assert!(refused.bytes_max < 512, "{refused:?}");
}

#[test]
fn quic_is_told_by_its_extension_where_there_are_no_records() {
    let bare = hello(&[0x13, 1], &extension(57, &[]));
    assert_eq!(ClientHello::parse(&bare).unwrap().transport, Transport::Quic);
    assert_eq!(ClientHello::parse(&cut(&bare, 4096)).unwrap().transport, Transport::Tcp);
}

#[test]
fn sixteen_kibibytes_of_garbage_are_refused_fast() {
    let start = Instant::now();
    for first in [0x16, 0x01, 0x80, 0x00] {
        let mut garbage: Vec<u8> = (0..=u8::MAX).cycle().take(MAX_CLIENT_HELLO).collect();
        garbage[0] = first;
        assert!(ClientHello::parse(&garbage).is_err());
        garbage[..5].copy_from_slice(&[first, 3, 1, 0x3f, 0xfb]);
        assert!(ClientHello::parse(&garbage).is_err());
    }
    // Refusing takes microseconds; the bound only has to tell that from seconds on a busy machine.
    assert!(start.elapsed() < Duration::from_millis(500));
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let _ = ClientHello::parse(&bytes);
    }

    #[test]
    fn bytes_in_the_shape_of_a_hello_never_panic(
        ciphers in proptest::collection::vec(any::<u8>(), 0..600),
        extensions in proptest::collection::vec(
            (prop_oneof![Just(10_u16), Just(11), Just(13), Just(16), Just(43), any::<u16>()],
             proptest::collection::vec(any::<u8>(), 0..32)),
            0..140,
        ),
    ) {
        let extensions: Vec<u8> = extensions.iter().flat_map(|(kind, body)| extension(*kind, body)).collect();
        let _ = ClientHello::parse(&hello(&ciphers, &extensions));
    }

    #[test]
    fn one_flipped_byte_never_panics(place in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut flight = chromium();
        let index = place.index(flight.len());
        flight[index] = value;
        let _ = ClientHello::parse(&flight);
    }

    #[test]
    fn any_cutting_is_the_same(size in 1_usize..2000) {
        let flight = chromium();
        prop_assert_eq!(
            ClientHello::parse(&cut(message(&flight), size)).unwrap(),
            ClientHello::parse(&flight).unwrap()
        );
    }

    #[test]
    fn text_never_panics(text in ".{0,200}", field in "client_hello|ja4|ja4_r|ja3") {
        let quoted = serde_json::to_string(&text).unwrap();
        let one = format!(r#"{{"tls":{{"{field}":{quoted}}},"http2":{{"akamai":{quoted}}},"http":{{"headers":[[{quoted},{quoted}]]}}}}"#);
        let _ = identify_json(&text);
        let _ = identify_json(&one);
        let _ = compare_json(&format!(r#"{{"a":{one},"b":{one}}}"#));
        let _ = batch_json(&[format!(r#"{{"fingerprint":{one}}}"#)], 0);
    }
}
