//! Makes up `ClientHello`s: well-formed, and otherwise whatever the format allows.

use fastrand::Rng;

const GREASE: u16 = 0x0a0a;
const SERVER_NAME: u16 = 0;
const GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
const PROTOCOLS: [&[u8]; 14] = [
    b"h2",
    b"http/1.1",
    b"h3",
    b"http/1.0",
    b"spdy/3.1",
    b"acme-tls/1",
    b"x",
    b"dot",
    b"-",
    b"a-",
    b"",
    &[0x0a, 0x0a],
    &[0x30, 0xab],
    &[0xab, 0xcd],
];
const VERSIONS: [u16; 12] = [
    0x0304, 0x0303, 0x0302, 0x0301, 0x0300, 0x0002, 0xfeff, 0xfefd, 0xfefc, 0x7f1c, 0x0305, 0x0a0a,
];

/// One `ClientHello` in one TLS record.
#[must_use]
pub fn hello(random: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    // Mostly what TLS 1.2 and 1.3 say.
    let version = if random.u8(..) < 200 { 0x0303 } else { version(random) };
    body.extend_from_slice(&version.to_be_bytes());
    body.extend((0..32).map(|_| random.u8(..)));
    let session = random.choice([0, 32, 7]).unwrap_or(0);
    body.push(session);
    body.extend((0..session).map(|_| random.u8(..)));
    let ciphers = length(random, 256);
    block16(&mut body, &values(random, ciphers));
    body.extend_from_slice(&[1, 0]);
    if random.u8(..) < 250 {
        block16(&mut body, &extensions(random));
    }
    let mut message = vec![1, 0];
    block16(&mut message, &body);
    let mut record = vec![0x16, 3, random.choice([1, 3, 0]).unwrap_or(1)];
    block16(&mut record, &message);
    record
}

/// Mostly as many as clients send, at times the most, at times none.
fn length(random: &mut Rng, most: usize) -> usize {
    match random.u8(..) {
        0..10 => 0,
        10..30 => random.usize(..=most),
        30..40 => random.usize(97..=101),
        _ => random.usize(1..40),
    }
}

fn extensions(random: &mut Rng) -> Vec<u8> {
    let mut kinds: Vec<u16> = Vec::new();
    for (kind, often) in [
        (SERVER_NAME, 200),
        (GROUPS, 240),
        (POINT_FORMATS, 200),
        (SIGNATURE_ALGORITHMS, 230),
        (ALPN, 200),
        (SUPPORTED_VERSIONS, 200),
    ] {
        if random.u8(..) < often {
            kinds.push(kind);
        }
    }
    for _ in 0..length(random, 120) {
        let kind = if random.u8(..) < 40 {
            grease(random)
        } else {
            unassigned(random)
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    random.shuffle(&mut kinds);
    let mut bytes = Vec::new();
    for kind in kinds {
        bytes.extend_from_slice(&kind.to_be_bytes());
        let body = extension(random, kind);
        block16(&mut bytes, &body);
    }
    bytes
}

/// A type whose body means nothing to either parser. `tls-parser` takes `0x?a?a` for GREASE also where the two bytes
/// differ, as in 0x3aea, against RFC 8701; none of those is assigned, and none is made up.
fn unassigned(random: &mut Rng) -> u16 {
    loop {
        let kind = random.u16(100..);
        let is_known = matches!(kind, 13172 | 0xff01 | 0xffce) || kind & 0x0f0f == GREASE;
        if !is_known {
            return kind;
        }
    }
}

fn extension(random: &mut Rng, kind: u16) -> Vec<u8> {
    let mut body = Vec::new();
    match kind {
        SERVER_NAME => {
            // At times an address, which RFC 6066 forbids and JA4 doesn't tell from a name.
            let name = random.choice(["example.org", "192.0.2.1"]).unwrap_or("a").as_bytes();
            let mut entry = vec![0];
            block16(&mut entry, name);
            block16(&mut body, &entry);
        }
        GROUPS | SIGNATURE_ALGORITHMS => {
            let count = random.usize(0..30);
            block16(&mut body, &values(random, count));
        }
        POINT_FORMATS => {
            let count = random.u8(0..4);
            body.push(count);
            body.extend(0..count);
        }
        ALPN => {
            let mut names = Vec::new();
            for _ in 0..random.usize(0..4) {
                let name = random.choice(PROTOCOLS).unwrap_or_default();
                names.push(u8::try_from(name.len()).unwrap_or(0));
                names.extend_from_slice(name);
            }
            block16(&mut body, &names);
        }
        SUPPORTED_VERSIONS => {
            let count = random.u8(0..6);
            body.push(2 * count);
            for _ in 0..count {
                body.extend_from_slice(&version(random).to_be_bytes());
            }
        }
        _ => body.extend((0..random.usize(0..8)).map(|_| random.u8(..))),
    }
    body
}

fn version(random: &mut Rng) -> u16 {
    match random.u8(..) {
        0..60 => grease(random),
        60..200 => random.choice([0x0304, 0x0303]).unwrap_or(0x0304),
        _ => random.choice(VERSIONS).unwrap_or(0x0304),
    }
}

fn values(random: &mut Rng, count: usize) -> Vec<u8> {
    let one = |_| match random.u8(..) {
        0..30 => grease(random),
        30..100 => random.u16(..),
        _ => random.u16(0x1301..0x1400),
    };
    (0..count).map(one).flat_map(u16::to_be_bytes).collect()
}

fn grease(random: &mut Rng) -> u16 {
    GREASE + 0x1010 * random.u16(0..16)
}

/// Adds a block behind its two-byte length.
fn block16(bytes: &mut Vec<u8>, block: &[u8]) {
    let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(block);
}
