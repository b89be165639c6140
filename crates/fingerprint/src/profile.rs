//! What is known of one client, in a form two clients can be held against each other in. Made of the signals of each
//! call, and of the data set.

use crate::akamai::Akamai;
use crate::client_hello::{ALPN, ClientHello, SERVER_NAME};
use crate::digest::sha256_hex;
use crate::grease::without_grease;
use crate::headers::{Headers, header_order_hash};
use crate::ja3::Ja3;
use crate::ja4::Ja4;
use crate::ja4_raw::Ja4Raw;
use crate::likeness::set;

/// Extensions that follow from the request, the session or the length of the rest, not from the
/// client: `server_name`, padding, `pre_shared_key`, `early_data`, cookie. ALPN is compared by its
/// names.
const OF_THE_CONNECTION: [u16; 6] = [SERVER_NAME, ALPN, 21, 41, 42, 44];

/// Values of one list, without GREASE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) values: Vec<u16>,
    /// Whether `values` stand in the client's order.
    pub(crate) ordered: bool,
}

impl List {
    fn in_order(values: &[u16]) -> Self {
        Self {
            values: without_grease(values),
            ordered: true,
        }
    }

    fn sorted(values: &[u16]) -> Self {
        Self {
            values: values.to_vec(),
            ordered: false,
        }
    }

    fn of_extensions(mut self) -> Self {
        self.values.retain(|kind| !OF_THE_CONNECTION.contains(kind));
        self
    }
}

/// The TLS lists, as far as the signal holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsLists {
    pub(crate) ciphers: Option<List>,
    pub(crate) extensions: Option<List>,
    pub(crate) groups: Option<List>,
    pub(crate) signature_algorithms: Option<List>,
    pub(crate) alpn: Option<Vec<String>>,
    /// The highest, as JA4 writes it.
    pub(crate) version: Option<String>,
    /// All that a JA3 tells of the version.
    pub(crate) legacy_version: Option<u16>,
}

/// What a TLS signal says: lists, and the fingerprints that can be computed or were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) lists: TlsLists,
    /// MD5 of the JA3 string.
    pub(crate) ja3: Option<String>,
    pub(crate) ja3n: Option<String>,
    pub(crate) ja4: Option<Ja4>,
    pub(crate) ja4_r: Option<Ja4Raw>,
}

impl Tls {
    pub(crate) fn of_hello(hello: &ClientHello) -> Self {
        let raw = Ja4Raw::of(hello);
        let ja3 = Ja3::of(hello);
        Self {
            lists: TlsLists {
                ciphers: Some(List::in_order(&hello.ciphers)),
                extensions: Some(List::in_order(&hello.extensions).of_extensions()),
                groups: Some(List::in_order(&hello.groups)),
                signature_algorithms: Some(List::in_order(&hello.signature_algorithms)),
                alpn: Some(hello.alpn.iter().map(|name| name.escape_ascii().to_string()).collect()),
                version: Some(raw.version().to_owned()),
                legacy_version: Some(hello.legacy_version),
            },
            ja3: Some(ja3.md5()),
            ja3n: Some(ja3.normalised().md5()),
            ja4: Some(Ja4::of_raw(&raw)),
            ja4_r: Some(raw),
        }
    }

    pub(crate) fn of_ja4_r(raw: Ja4Raw) -> Self {
        Self {
            lists: TlsLists {
                ciphers: Some(List::sorted(&raw.ciphers)),
                extensions: Some(List::sorted(&raw.extensions).of_extensions()),
                signature_algorithms: Some(List::in_order(&raw.signature_algorithms)),
                version: Some(raw.version().to_owned()),
                ..TlsLists::default()
            },
            ja4: Some(Ja4::of_raw(&raw)),
            ja4_r: Some(raw),
            ..Self::default()
        }
    }

    pub(crate) fn of_ja3(ja3: &Ja3) -> Self {
        Self {
            lists: TlsLists {
                ciphers: Some(List::in_order(&ja3.ciphers)),
                extensions: Some(List::in_order(&ja3.extensions).of_extensions()),
                groups: Some(List::in_order(&ja3.groups)),
                legacy_version: Some(ja3.version),
                ..TlsLists::default()
            },
            ja3: Some(ja3.md5()),
            ja3n: Some(ja3.normalised().md5()),
            ..Self::default()
        }
    }

    /// What `self` holds, and from `other` what `self` lacks.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            lists: TlsLists {
                ciphers: self.lists.ciphers.or(other.lists.ciphers),
                extensions: self.lists.extensions.or(other.lists.extensions),
                groups: self.lists.groups.or(other.lists.groups),
                signature_algorithms: self.lists.signature_algorithms.or(other.lists.signature_algorithms),
                alpn: self.lists.alpn.or(other.lists.alpn),
                version: self.lists.version.or(other.lists.version),
                legacy_version: self.lists.legacy_version.or(other.lists.legacy_version),
            },
            ja3: self.ja3.or(other.ja3),
            ja3n: self.ja3n.or(other.ja3n),
            ja4: self.ja4.or(other.ja4),
            ja4_r: self.ja4_r.or(other.ja4_r),
        }
    }

    /// Whether a fingerprint that both hold differs.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        differ(self.ja3.as_ref(), other.ja3.as_ref()) || differ(self.ja4.as_ref(), other.ja4.as_ref())
    }
}

fn differ<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a != b)
}

/// The order of a client's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderOrder {
    pub(crate) names: Vec<String>,
    /// How many different ones.
    pub(crate) different: u32,
    /// `hh1_…`
    pub(crate) hash: String,
}

impl HeaderOrder {
    /// `None` where no name tells of the client.
    pub(crate) fn of(headers: &Headers) -> Option<Self> {
        let names = headers.client_names();
        if names.is_empty() {
            return None;
        }
        Some(Self {
            hash: header_order_hash(&names),
            different: u32::try_from(set(&names).len()).unwrap_or(u32::MAX),
            names: names.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// All that is known of one client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) tls: Option<Tls>,
    pub(crate) http2: Option<Akamai>,
    pub(crate) headers: Option<HeaderOrder>,
}

impl Profile {
    /// `fp1_` and 32 hexadecimal digits over the signals in their normal form.
    ///
    /// The TLS part is the JA4 where there is one, else JA3N, else JA3, so that a hello and the JA4
    /// of that hello come to the same, and clients that shuffle extensions keep theirs.
    pub(crate) fn id(&self) -> String {
        let tls = self.tls.as_ref().and_then(|tls| match tls {
            Tls { ja4: Some(ja4), .. } => Some(format!("ja4={ja4}")),
            Tls { ja3n: Some(ja3n), .. } => Some(format!("ja3n={ja3n}")),
            Tls { ja3: Some(ja3), .. } => Some(format!("ja3={ja3}")),
            _ => None,
        });
        let http2 = self.http2.as_ref().map(|akamai| format!("akamai_h2={akamai}"));
        let headers = self.headers.as_ref().map(|order| format!("headers={}", order.hash));
        let parts: Vec<String> = [tls, http2, headers].into_iter().flatten().collect();
        format!("fp1_{}", sha256_hex(&parts.join("\n"), 32))
    }
}
