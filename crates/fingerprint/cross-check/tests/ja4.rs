//! JA4 by `huginn-net-tls` on `tls-parser`, two crates by others, on every capture and on hellos made up: no difference.
//!
//! Where that implementation is known to leave the published description, the part is masked in both, and counted:
//! - **ALPN**: a first name of one character counts as that character and a zero; one that isn't ASCII letters or digits
//!   at both ends is not turned into hexadecimal; one that isn't UTF-8 counts as none; GREASE counts as a name.
//! - **DTLS versions** are `00`.
//! - **Extensions** of the form `0x?a?a` count as GREASE also where the two bytes differ; none are made up.
//!
//! It reads one TLS record, so a message cut over several isn't compared here.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use huginn_net_tls::{Signature, TlsClientHelloReader};
use serde_json::Value;
use tollkeeper_fingerprint::{ClientHello, Ja3, Ja4, Ja4Raw, is_grease};
use tollkeeper_fingerprint_cross_check::hello;

/// How many are made up where `CROSS_CHECK_HELLOS` doesn't say.
const HELLOS: usize = 100_000;

/// What of a JA4 the other implementation is known to get wrong for a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Deviation {
    alpn: bool,
    version: bool,
}

impl Deviation {
    fn of(ours: &ClientHello) -> Self {
        let (first, skipped) = first_name(ours);
        let is_plain = |name: &[u8]| {
            name.len() > 1
                && [name.first(), name.last()]
                    .iter()
                    .all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        };
        let versions = ours.supported_versions.iter().filter(|version| !is_grease(**version));
        let highest = versions.max().unwrap_or(&ours.legacy_version);
        Self {
            alpn: skipped || first.is_some_and(|name| !name.is_empty() && (!is_plain(name) || !name.is_ascii())),
            version: matches!(highest, 0xfefc | 0xfefd | 0xfeff),
        }
    }

    fn mask(self, ja4: &str) -> String {
        let mut text = ja4.to_owned();
        if self.version {
            text.replace_range(1..3, "--");
        }
        if self.alpn {
            // Characters of a name are not always bytes.
            let end = text.find('_').unwrap_or(10);
            text.replace_range(8..end, "--");
        }
        text
    }
}

/// The first protocol that is not GREASE, and whether GREASE stood before it.
fn first_name(ours: &ClientHello) -> (Option<&[u8]>, bool) {
    let grease = |name: &&[u8]| matches!(**name, [high, low] if is_grease(u16::from_be_bytes([high, low])));
    let first = ours.alpn.iter().find(|name| !grease(name));
    (first, ours.alpn.iter().next().is_some_and(|name| grease(&name)))
}

fn other(bytes: &[u8]) -> Signature {
    let read = TlsClientHelloReader::new().add_bytes(bytes);
    read.expect("the other reads it").expect("it is whole")
}

/// Holds one against the other; what had to be masked.
fn agree(bytes: &[u8]) -> Deviation {
    let ours = ClientHello::parse(bytes).expect("it is well-formed");
    let theirs = other(bytes);
    let deviation = Deviation::of(&ours);
    let ja4 = theirs.generate_ja4();
    let hex = || STANDARD.encode(bytes);
    let (hashed, raw) = (Ja4::of(&ours), Ja4Raw::of(&ours).to_string());
    assert_eq!(
        deviation.mask(hashed.as_str()),
        deviation.mask(ja4.full.value()),
        "{}",
        hex()
    );
    assert_eq!(deviation.mask(&raw), deviation.mask(ja4.raw.value()), "{}", hex());
    let list = |values: &[u16]| values.iter().map(u16::to_string).collect::<Vec<_>>().join("-");
    let formats = theirs
        .elliptic_curve_point_formats
        .iter()
        .map(u8::to_string)
        .collect::<Vec<_>>();
    let ja3 = format!(
        "{},{},{},{},{}",
        ours.legacy_version,
        list(&theirs.cipher_suites),
        list(&theirs.extensions),
        list(&theirs.elliptic_curves),
        formats.join("-"),
    );
    assert_eq!(Ja3::of(&ours).to_string(), ja3, "{}", hex());
    deviation
}

#[test]
fn on_every_capture() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
    let mut captures = 0;
    for file in data.read_dir().expect("the data set is there") {
        let text = std::fs::read_to_string(file.expect("it is a file").path()).expect("it is text");
        let rows: Vec<Value> = serde_json::from_str(&text).expect("it is a list of rows");
        for row in rows {
            let bytes = STANDARD.decode(row["client_hello"].as_str().unwrap_or_default());
            assert_eq!(
                agree(&bytes.expect("it is base64")),
                Deviation::default(),
                "{}",
                row["client"]
            );
            captures += 1;
        }
    }
    println!("{captures} captures: no difference");
    assert!(captures >= 20);
}

#[test]
fn on_hellos_made_up() {
    let count = std::env::var("CROSS_CHECK_HELLOS").map_or(HELLOS, |text| text.parse().expect("it is a number"));
    let mut random = Rng::with_seed(4);
    let (mut alpn, mut version) = (0, 0);
    for _ in 0..count {
        let deviation = agree(&hello(&mut random));
        alpn += usize::from(deviation.alpn);
        version += usize::from(deviation.version);
    }
    println!("{count} hellos: no difference; ALPN masked in {alpn}, version in {version}");
    assert!(alpn < count / 2 && version < count / 2, "most are compared whole");
}
