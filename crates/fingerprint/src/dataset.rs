//! The data set: how real clients were seen to open connections, captured by `scripts/capture`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::akamai::Akamai;
use crate::headers::Headers;
use crate::likeness::set;
use crate::profile::{HeaderOrder, List, Profile, Tls};
use crate::signals::lists;
use crate::user_agent::Family;

/// Year and month of the last capture.
pub const DATASET_VERSION: &str = "2026.11";

const FILES: [&str; 17] = [
    include_str!("../data/chromium.json"),
    include_str!("../data/curl.json"),
    include_str!("../data/curl-http1.json"),
    include_str!("../data/firefox.json"),
    include_str!("../data/gnutls.json"),
    include_str!("../data/go.json"),
    include_str!("../data/java.json"),
    include_str!("../data/node-fetch.json"),
    include_str!("../data/node-http2.json"),
    include_str!("../data/node-https.json"),
    include_str!("../data/openssl.json"),
    include_str!("../data/python-aiohttp.json"),
    include_str!("../data/python-httpx.json"),
    include_str!("../data/python-requests.json"),
    include_str!("../data/python-urllib.json"),
    include_str!("../data/wget.json"),
    include_str!("../data/wget2.json"),
];

/// One capture as it is stored. `sni` and `client_hello` say the same as the lists and are held
/// against them by the tests.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) client: String,
    pub(crate) version: String,
    tls: Map<String, Value>,
    akamai_h2: Option<String>,
    headers: Option<Vec<String>>,
}

/// One way a client was seen to open a connection.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) client: String,
    pub(crate) version: String,
    pub(crate) family: Option<Family>,
    pub(crate) profile: Profile,
}

/// Which of the lists a value belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Section {
    Ciphers,
    Extensions,
    Groups,
    SignatureAlgorithms,
}

/// The data set, read once.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) signatures: Vec<Signature>,
    /// How much each value weighs, in ascending order of the values.
    weights: Vec<((Section, u16), f64)>,
    /// How much a value weighs that no client here sends.
    weight_of_unknown: f64,
}

/// The embedded data set.
pub(crate) static DATASET: LazyLock<Dataset> = LazyLock::new(|| {
    let rows = FILES.into_iter().flat_map(rows);
    Dataset::new(rows.map(signature).collect())
});

/// The rows of one file. The files are part of the crate, so that a fault in one is a fault of the
/// build, which every test finds.
pub(crate) fn rows(file: &str) -> Vec<Row> {
    serde_json::from_str(file).expect("an embedded data file is a list of rows")
}

fn signature(row: Row) -> Signature {
    let hello = lists(&row.tls).expect("an embedded row's lists are in range");
    let akamai = row.akamai_h2.as_deref().map(Akamai::parse).transpose();
    let names = row.headers.unwrap_or_default();
    let headers = Headers::new(names.into_iter().map(|name| (name, String::new())).collect());
    Signature {
        family: Family::of_client(&row.client),
        client: row.client,
        version: row.version,
        profile: Profile {
            tls: hello.as_ref().map(Tls::of_hello),
            http2: akamai.expect("an embedded row's HTTP/2 fingerprint is of its form"),
            headers: HeaderOrder::of(&headers.expect("an embedded row's header names are tokens")),
        },
    }
}

impl Dataset {
    fn new(signatures: Vec<Signature>) -> Self {
        let mut frequency: BTreeMap<(Section, u16), u32> = BTreeMap::new();
        let families = set(&signatures.iter().map(|one| one.family).collect::<Vec<_>>());
        for family in &families {
            let of_family = signatures.iter().filter(|one| one.family == *family);
            for value in set(&of_family.flat_map(values).collect::<Vec<_>>()) {
                *frequency.entry(value).or_default() += 1;
            }
        }
        let families = u32::try_from(families.len()).unwrap_or(u32::MAX);
        let weight = |senders: u32| 1.0 + (f64::from(families + 1) / f64::from(senders + 1)).ln();
        Self {
            weights: frequency
                .into_iter()
                .map(|(value, senders)| (value, weight(senders)))
                .collect(),
            weight_of_unknown: weight(0),
            signatures,
        }
    }

    /// How much it says that two clients share a value: 1 for one that every family sends, more
    /// the fewer do (inverse document frequency).
    pub(crate) fn weight(&self, section: Section, value: u16) -> f64 {
        match self
            .weights
            .binary_search_by_key(&(section, value), |(value, _)| *value)
        {
            Ok(index) => self.weights[index].1,
            Err(_) => self.weight_of_unknown,
        }
    }
}

fn values(signature: &Signature) -> Vec<(Section, u16)> {
    let Some(tls) = &signature.profile.tls else {
        return Vec::new();
    };
    [
        (Section::Ciphers, &tls.lists.ciphers),
        (Section::Extensions, &tls.lists.extensions),
        (Section::Groups, &tls.lists.groups),
        (Section::SignatureAlgorithms, &tls.lists.signature_algorithms),
    ]
    .into_iter()
    .flat_map(|(section, list)| {
        let List { values, .. } = list.clone().unwrap_or_default();
        values.into_iter().map(move |value| (section, value))
    })
    .collect()
}
