//! How alike two clients are, section by section: the answer to each comparison.

use serde::Serialize;

use crate::akamai::Akamai;
use crate::dataset::{DATASET, Dataset, Section};
use crate::differences::differences;
use crate::error::{Error, ErrorCode};
use crate::ja4::Ja4;
use crate::likeness::likeness;
use crate::profile::{Profile, Tls, TlsLists};
use crate::signals::Signals;

/// From this similarity on, two clients are called a match. In the data set, runs of one client that
/// shuffles its extensions come to 0.97 at least, different clients over one TLS library to 0.93 at
/// most.
pub const MATCH_THRESHOLD: f64 = 0.95;

/// How much a section weighs, where it can be compared; the rest share what is missing.
const WEIGHTS: [f64; 6] = [0.25, 0.25, 0.10, 0.15, 0.15, 0.10];
/// What the order of a section's shared values may take off. Some browsers shuffle extensions, so
/// that there it says less.
const CIPHER_ORDER: f64 = 0.4;
const EXTENSION_ORDER: f64 = 0.15;
const OTHER_ORDER: f64 = 0.3;
/// What ALPN and version take part in the section of extensions that carry them.
const ALPN_SHARE: f64 = 0.1;
const VERSION_SHARE: f64 = 0.1;

/// What a comparison could see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Every section was compared value by value.
    Raw,
    /// At least one section was known by its hash only: it is the same or it is not.
    Hash,
}

/// Similarity by section, 0 to 1; `None` where one side doesn't know it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Components {
    /// Cipher suites and their order.
    pub ciphers: Option<f64>,
    /// Extensions, their order, ALPN and the highest version.
    pub extensions: Option<f64>,
    /// Supported groups and their order.
    pub groups: Option<f64>,
    /// Signature algorithms and their order.
    pub signature_algorithms: Option<f64>,
    /// Akamai's HTTP/2 fingerprint, part by part.
    pub http2: Option<f64>,
    /// Names of headers and their order.
    pub headers: Option<f64>,
}

/// The answer of [`compare`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// 0 (nothing shared) to 1 (nothing differs); the weighted mean of the components.
    pub similarity: f64,
    /// Whether `similarity` reaches [`MATCH_THRESHOLD`]; at hash resolution, whether nothing differs.
    #[serde(rename = "match")]
    pub is_match: bool,
    /// Whether lists or only hashes were compared.
    pub resolution: Resolution,
    /// The sections.
    pub components: Components,
    /// What differs, in words, at most a line or two for a section.
    pub differences: Vec<String>,
}

/// Compares two clients on the signals that both hold. Symmetric; a client is exactly 1 like itself.
///
/// # Errors
/// `ERR_NOT_COMPARABLE` if they hold no signal in common.
pub fn compare(a: &Signals, b: &Signals) -> Result<Comparison, Error> {
    let (a, b) = (&a.profile, &b.profile);
    let (components, resolution) = components(a, b);
    let Some(similarity) = mean(&components) else {
        return Err(Error::new(
            ErrorCode::NotComparable,
            "a and b hold no signal in common; give both tls, http2.akamai or http.headers",
        ));
    };
    Ok(Comparison {
        similarity,
        is_match: match resolution {
            Resolution::Raw => similarity >= MATCH_THRESHOLD,
            Resolution::Hash => similarity >= 1.0,
        },
        resolution,
        components,
        differences: differences(a, b),
    })
}

/// How alike two TLS signals are by their lists; `None` where those aren't known.
pub(crate) fn tls_likeness(a: &Tls, b: &Tls, dataset: &Dataset) -> Option<f64> {
    let sections = by_lists(a, b, dataset);
    let [Some(_), Some(_), ..] = sections else { return None };
    weighted(sections.into_iter().zip(WEIGHTS))
}

fn mean(components: &Components) -> Option<f64> {
    let Components {
        ciphers,
        extensions,
        groups,
        signature_algorithms,
        http2,
        headers,
    } = *components;
    let parts = [ciphers, extensions, groups, signature_algorithms, http2, headers];
    weighted(parts.into_iter().zip(WEIGHTS))
}

/// The weighted mean of the parts that are known.
fn weighted(parts: impl IntoIterator<Item = (Option<f64>, f64)>) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (part, weight) in parts {
        if let Some(part) = part {
            sum += part * weight;
            weights += weight;
        }
    }
    (weights > 0.0).then(|| sum / weights)
}

fn components(a: &Profile, b: &Profile) -> (Components, Resolution) {
    let (mut sections, mut resolution) = ([None; 4], Resolution::Raw);
    if let (Some(a), Some(b)) = (&a.tls, &b.tls) {
        sections = by_lists(a, b, &DATASET);
        for (section, equal) in sections.iter_mut().zip(by_hashes(a, b)) {
            if let (None, Some(_)) = (&section, equal) {
                *section = equal;
                resolution = Resolution::Hash;
            }
        }
    }
    let [ciphers, extensions, groups, signature_algorithms] = sections;
    let http2 = both(a.http2.as_ref(), b.http2.as_ref(), http2_likeness);
    let headers = both(a.headers.as_ref(), b.headers.as_ref(), |a, b| {
        names_likeness(&a.names, &b.names)
    });
    (
        Components {
            ciphers,
            extensions,
            groups,
            signature_algorithms,
            http2,
            headers,
        },
        resolution,
    )
}

fn both<T: ?Sized>(a: Option<&T>, b: Option<&T>, compare: impl Fn(&T, &T) -> f64) -> Option<f64> {
    Some(compare(a?, b?))
}

/// How alike one section's lists are; `None` where one side doesn't know them.
fn section(section: Section, a: &TlsLists, b: &TlsLists, dataset: &Dataset) -> Option<f64> {
    let (a, b, order_share) = match section {
        Section::Ciphers => (&a.ciphers, &b.ciphers, CIPHER_ORDER),
        Section::Extensions => (&a.extensions, &b.extensions, EXTENSION_ORDER),
        Section::Groups => (&a.groups, &b.groups, OTHER_ORDER),
        Section::SignatureAlgorithms => (&a.signature_algorithms, &b.signature_algorithms, OTHER_ORDER),
    };
    both(a.as_ref(), b.as_ref(), |a, b| {
        let weight = |value| dataset.weight(section, value);
        likeness(&a.values, &b.values, a.ordered && b.ordered, order_share, weight)
    })
}

fn by_lists(a: &Tls, b: &Tls, dataset: &Dataset) -> [Option<f64>; 4] {
    let (left, right) = (&a.lists, &b.lists);
    [
        section(Section::Ciphers, left, right, dataset),
        section(Section::Extensions, left, right, dataset)
            .and_then(|extensions| with_alpn_and_version(extensions, a, b)),
        section(Section::Groups, left, right, dataset),
        section(Section::SignatureAlgorithms, left, right, dataset),
    ]
}

/// How alike extensions are with the ALPN and the version that they carry; of these, what both sides know best.
fn with_alpn_and_version(extensions: f64, a: &Tls, b: &Tls) -> Option<f64> {
    let (left, right) = (&a.lists, &b.lists);
    let ja4 = |part: fn(&Ja4) -> &str| both(a.ja4.as_ref(), b.ja4.as_ref(), |a, b| equal(part(a), part(b)));
    let alpn = both(left.alpn.as_deref(), right.alpn.as_deref(), names_likeness).or_else(|| ja4(Ja4::alpn_ends));
    let version = both(left.version.as_ref(), right.version.as_ref(), equal)
        .or_else(|| ja4(Ja4::protocol))
        .or_else(|| both(left.legacy_version.as_ref(), right.legacy_version.as_ref(), equal));
    let rest = 1.0 - ALPN_SHARE - VERSION_SHARE;
    weighted([(Some(extensions), rest), (alpn, ALPN_SHARE), (version, VERSION_SHARE)])
}

/// How alike the sections are, as far as hashes tell. The last hash of a JA4 covers extensions and signature algorithms, a
/// JA3 all but the algorithms: equality is then that of each, while inequality is put down to the first. ALPN and version
/// can be read in a JA4.
fn by_hashes(a: &Tls, b: &Tls) -> [Option<f64>; 4] {
    if let (Some(left), Some(right)) = (&a.ja4, &b.ja4) {
        let ciphers = Some(equal(left.b(), right.b()));
        if left.c() != right.c() {
            return [ciphers, Some(0.0), None, None];
        }
        return [ciphers, with_alpn_and_version(1.0, a, b), None, Some(1.0)];
    }
    let ja3 = both(a.ja3.as_ref(), b.ja3.as_ref(), equal);
    [ja3, ja3, ja3, None]
}

fn equal<T: PartialEq + ?Sized>(a: &T, b: &T) -> f64 {
    f64::from(u8::from(a == b))
}

fn http2_likeness(a: &Akamai, b: &Akamai) -> f64 {
    let settings = likeness(&a.settings, &b.settings, true, OTHER_ORDER, |_| 1.0);
    let pseudo = likeness(&a.pseudo_headers, &b.pseudo_headers, true, 1.0, |_| 1.0);
    0.5 * settings
        + 0.2 * equal(&a.window_update, &b.window_update)
        + 0.1 * equal(&a.priorities, &b.priorities)
        + 0.2 * pseudo
}

pub(crate) fn names_likeness(a: &[String], b: &[String]) -> f64 {
    let a: Vec<&str> = a.iter().map(String::as_str).collect();
    let b: Vec<&str> = b.iter().map(String::as_str).collect();
    likeness(&a, &b, true, OTHER_ORDER, |_| 1.0)
}
